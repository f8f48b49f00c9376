/* What the library knows of its network: plain data, which `dlc build` writes into model.c.
 *
 * Nothing here is an address but for the names, shapes and kernels, which the linker relocates:
 * launch tables count arguments from the arena, instructions from the first one. */
#ifndef DLCNET_MODEL_H
#define DLCNET_MODEL_H

#include "dlcnet.h"
#include "words.h"

enum { MOST_AXES = 16 };

typedef void (*kernel)(int64_t *arguments, int64_t chunk);

/* A value in an arena, C-contiguous. */
typedef struct {
    dlcnet_type type;
    int64_t offset;
    int is_parameter;
    int home; /* the same value in the first program; -1: none */
} value;

enum { DATA, STEP_NUMBER, SEED, METRIC, FAULT_WORD, RESULT };

/* An input or output of an entry: `number` counts the library's inputs, or its metrics. */
typedef struct {
    value value;
    int role, number;
} port;

/* A row is a kernel (0: none), its first argument, and its chunks; a move an argument word, what
 * an iteration adds to it, and what every second one does. `bases` are the argument words that are
 * counted from the arena. Instructions are those of runtime/compile/runner.py. */
typedef struct {
    const char *name;
    const int64_t (*rows)[3];
    const int64_t (*code)[CODE_WORDS];
    const int64_t *arguments;
    const int32_t *bases;
    const int64_t (*moves)[3];
    int64_t row_count, code_count, argument_count, base_count, move_count;
    const port *inputs, *outputs;
    int input_count, output_count;
    const char *const *checks; /* what fault k means, from 1 */
    int check_count;
    int is_short; /* a run is not worth waking other threads */
} entry;

typedef struct {
    int64_t offset, bytes;
    const void *data;
} constant;

typedef struct {
    int64_t arena_bytes;
    int64_t block; /* rows of a prediction, 0 where it trains */
    const value *values;
    const constant *constants;
    const entry *entries;
    int value_count, constant_count, entry_count;
} program;

/* A feature of the CPU: a bit of what cpuid gives, and its name. */
typedef struct {
    uint32_t leaf, subleaf;
    int word, bit; /* eax, ebx, ecx, edx */
    const char *name;
} feature;

typedef struct {
    const char *isa;
    const feature *features;
    int feature_count;
    kernel runner;
    const kernel *kernels;
    const program *programs;
} variant;

/* An entry that runs in the steps where step % every == offset, in some epochs. */
typedef struct {
    int entry;
    int64_t every, offset, first_epoch, last_epoch;
} phase;

/* What a batch of so many rows runs, in training or evaluation. */
typedef struct {
    int64_t rows;
    int trains;
    const phase *phases;
    int phase_count;
} batch_kind;

/* A value that every epoch begins with. */
typedef struct {
    int value;
    const void *data;
} begun;

extern const struct model {
    const char *name, *isas;
    const variant *variants;
    const batch_kind *batches;
    const dlcnet_type *inputs, *predict_inputs, *prediction;
    const char *const *metrics;
    const begun *each_epoch;
    const int *file_order; /* values as a safetensors file has them */
    int variant_count, program_count, batch_count, input_count, predict_input_count;
    int prediction_count, metric_count, each_epoch_count;
    int trains, in_order; /* in_order: samples are taken as they lie */
    /* a checkpoint's record, as JSON: the network's name, the task, the schedule, the graphs */
    const char *json_name, *json_task, *json_schedule, *json_network;
    int64_t batch, epochs;
} MODEL;

#endif
