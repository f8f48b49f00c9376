/* The network "NETWORK" as a library: what a program that uses it includes.
 *
 * Every function gives DLCNET_OK or one of the other codes; dlcnet_message() then says what was
 * wrong, in one line, to the thread that called. Nothing is printed, and no input ends the process.
 * A network may be used by one thread at a time (another is answered DLCNET_BUSY); several networks
 * may be used at once. Results do not depend on the number of threads.
 *
INTERFACE
 */
#ifndef DLCNET_H
#define DLCNET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DLCNET_ABI 1 /* changes when a function or structure below does */
#define DLCNET_API __attribute__((visibility("default")))

enum {
    DLCNET_OK = 0,
    DLCNET_BAD_ARGUMENT = 1, /* a null pointer, a name, dtype or size that does not fit */
    DLCNET_BAD_FILE = 2,     /* missing, damaged, or of another network */
    DLCNET_NO_MEMORY = 3,
    DLCNET_NO_MACHINE = 4, /* this machine lacks the instructions that the library has */
    DLCNET_BUSY = 5,       /* another thread is using the network */
    DLCNET_FAULT = 6,      /* a run-time check failed, or the loss is not finite */
    DLCNET_SYSTEM = 7      /* the operating system gives no thread, or cannot write a file */
};

enum {
    DLCNET_F64, DLCNET_F32, DLCNET_F16, DLCNET_BF16, DLCNET_I64, DLCNET_I32, DLCNET_I16, DLCNET_I8,
    DLCNET_U64, DLCNET_U32, DLCNET_U16, DLCNET_U8, DLCNET_BOOL
};

typedef struct dlcnet_net dlcnet_net;

/* Rows of an input, one after another, as C and NumPy have them. `bytes` is the size of `data`. */
typedef struct {
    const char *name;
    int dtype;
    const void *data;
    size_t bytes;
} dlcnet_array;

/* Where training stands. `batches` and `samples` are those done of epoch number `epoch`. */
typedef struct {
    int64_t step, epoch, batches, samples;
    uint64_t seed;
} dlcnet_position;

/* What dlcnet_describe tells of. Of inputs and the prediction `shape` is that of one row. */
enum {
    DLCNET_INPUT,         /* what dlcnet_step and dlcnet_evaluate take */
    DLCNET_PREDICT_INPUT, /* what dlcnet_predict takes */
    DLCNET_PREDICTION,    /* what it gives: one */
    DLCNET_VALUE,         /* parameters and state, by name */
    DLCNET_METRIC         /* what dlcnet_metric gives */
};

typedef struct {
    const char *name;
    int dtype, axes;
    const int64_t *shape;
    size_t bytes;
} dlcnet_type;

/* What went wrong in the last call of this thread that gave another code than DLCNET_OK. */
DLCNET_API const char *dlcnet_message(void);

/* Make a network whose parameters are zero: load some. `abi` is DLCNET_ABI of this header, threads
 * 0 is one for each core, `isa` one of dlcnet_instruction_sets() or NULL: the best that fits. */
DLCNET_API int dlcnet_create(dlcnet_net **net, int abi, int threads, const char *isa);
DLCNET_API int dlcnet_destroy(dlcnet_net *net);

DLCNET_API const char *dlcnet_instruction_sets(void); /* "avx512,avx2" */
DLCNET_API const char *dlcnet_isa(const dlcnet_net *net);

/* Fill `type` with number `index` of a kind; DLCNET_BAD_ARGUMENT behind the last. */
DLCNET_API int dlcnet_describe(int kind, int index, dlcnet_type *type);

/* Read a checkpoint, of dlc or dlcnet_save, with the position it holds, or any safetensors file that
 * has all parameters and state. A file that does not fit changes nothing. */
DLCNET_API int dlcnet_load(dlcnet_net *net, const char *path);

/* Read parameters alone: state, such as the optimizer's, stays as it is. */
DLCNET_API int dlcnet_load_parameters(dlcnet_net *net, const char *path);

/* Write a checkpoint from which dlcnet_load and `dlc train --resume` go on. The file is replaced
 * as a whole: at every moment it is the old one or the new one. */
DLCNET_API int dlcnet_save(dlcnet_net *net, const char *path);

/* Copy one parameter or state, by its name, out of the network or into it. */
DLCNET_API int dlcnet_read(dlcnet_net *net, const char *name, void *to, size_t bytes);
DLCNET_API int dlcnet_write(dlcnet_net *net, const char *name, const void *from, size_t bytes);

/* One training step on a batch: as many rows as the network was compiled for. After DLCNET_FAULT
 * the parameters are those before the step. */
DLCNET_API int dlcnet_step(dlcnet_net *net, const dlcnet_array *inputs, size_t count);

/* The metrics of a batch, with the parameters as they are. */
DLCNET_API int dlcnet_evaluate(dlcnet_net *net, const dlcnet_array *inputs, size_t count);

/* A metric of the last step or evaluation. */
DLCNET_API int dlcnet_metric(dlcnet_net *net, const char *name, double *value);

/* The prediction for any number of rows; `bytes` is the size of `to`. */
DLCNET_API int dlcnet_predict(dlcnet_net *net, const dlcnet_array *inputs, size_t count, void *to,
                              size_t bytes);

/* The order in which `dlc train` takes the samples of an epoch: a permutation of 0 .. count - 1. */
DLCNET_API int dlcnet_order(uint64_t seed, int64_t epoch, int64_t count, int64_t *order);

/* Count the epoch as done: the next step is the first of the next. */
DLCNET_API int dlcnet_end_epoch(dlcnet_net *net);
DLCNET_API int dlcnet_where(dlcnet_net *net, dlcnet_position *position);

#ifdef __cplusplus
}
#endif
#endif
