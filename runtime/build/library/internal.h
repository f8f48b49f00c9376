/* What the parts of the library know of each other. */
#ifndef DLCNET_INTERNAL_H
#define DLCNET_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "model.h"

/* failing.c */
int fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* dtypes.c: by the numbers of dlcnet.h */
extern const struct dtype {
    const char *name, *in_files, *in_numpy;
    int bytes;
} DTYPES[];
enum { DTYPE_COUNT = DLCNET_BOOL + 1 };

/* machine.c */
int check_machine(const variant *variant);
int available_cores(void);

/* threads.c */
typedef struct team team;
int team_open(team **team, int threads);
void team_run(team *team, kernel function, int64_t *argument, int alone);
void team_close(team *team);

/* table.c */
typedef struct table table;
int table_open(table **table, const entry *entry, const variant *variant, char *arena,
               int threads);
void table_run(table *table, team *team, kernel runner);
void table_close(table *table);

/* network.c */
typedef struct {
    const program *plan;
    char *arena;   /* NULL until it is needed */
    table **tables; /* by entry, NULL until they are needed */
    uint64_t version; /* of the values that it has */
} part;

struct dlcnet_net {
    struct dlcnet_net *next;
    pid_t process;
    int busy;
    int threads;
    const variant *variant;
    team *team;
    part *parts;
    uint64_t version; /* counts changes of the values */
    double *metrics;
    char *has_metric;
    dlcnet_position at;
};

int enter(dlcnet_net *net, const char *what);
int leave(dlcnet_net *net, int code);
int open_part(dlcnet_net *net, int number);

/* json.c: reads one text of JSON from left to right */
typedef struct {
    const char *at, *end;
    int failed;
} json;
int json_next(json *text, char opening, int *first);
char *json_string(json *text);
char *json_key(json *text);
uint64_t json_count(json *text);
void json_skip(json *text, int depth);

/* text.c */
typedef struct {
    char *at;
    size_t length, room;
    int failed;
} text;
void add(text *to, const char *from, size_t length);
void say(text *to, const char *from);
void say_number(text *to, const char *before, uint64_t number);
void quote(text *to, const char *from);

/* tensors.c: safetensors files */
typedef struct {
    char *name;
    int dtype, axes;
    uint64_t shape[MOST_AXES];
    const char *data;
    size_t bytes;
} tensor;
typedef struct {
    char *content, *record; /* the file, and its metadata "dlc", NULL without */
    tensor *tensors;        /* by name */
    size_t count;
} tensor_file;
int read_tensors(const char *path, tensor_file *file);
void free_tensors(tensor_file *file);
const tensor *tensor_named(const tensor_file *file, const char *name);
uint32_t crc32_of(uint32_t crc, const void *data, size_t bytes);

/* record.c */
typedef struct {
    dlcnet_position at;
    uint64_t format, batch;
    int is_ours;
} record;
void write_record(text *to, const dlcnet_position *at);
int read_record(const char *path, const tensor_file *file, record *found);
uint32_t crc_of_tensor(uint32_t crc, const char *name, int dtype, int axes, const uint64_t *shape,
                       const void *data, size_t bytes);

#endif
