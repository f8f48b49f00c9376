/* Runs: a training step, an evaluation, a prediction of any number of rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum { MOST_INPUTS = 64 };

static const dlcnet_array *array_named(const dlcnet_array *inputs, size_t count, const char *name)
{
    for (size_t k = 0; k < count; k++)
        if (inputs[k].name && strcmp(inputs[k].name, name) == 0)
            return &inputs[k];
    return NULL;
}

static int check_array(const dlcnet_array *array, const dlcnet_type *type, int64_t *rows)
{
    if (array->dtype != type->dtype)
        return fail(DLCNET_BAD_ARGUMENT, "input %s takes %s, not dtype number %d", type->name,
                    DTYPES[type->dtype].name, array->dtype);
    if (array->bytes % type->bytes)
        return fail(DLCNET_BAD_ARGUMENT, "input %s: %zu bytes are not rows of %zu", type->name,
                    array->bytes, type->bytes);
    int64_t found = (int64_t)(array->bytes / type->bytes);
    if (*rows >= 0 && found != *rows)
        return fail(DLCNET_BAD_ARGUMENT, "input %s has %lld rows, another %lld", type->name,
                    (long long)found, (long long)*rows);
    if (!array->data && found)
        return fail(DLCNET_BAD_ARGUMENT, "input %s is NULL", type->name);
    *rows = found;
    return DLCNET_OK;
}

/* Whether `inputs` are arrays of `types`, one each, and of how many rows. */
static int check_arrays(const dlcnet_array *inputs, size_t count, const dlcnet_type *types,
                        int type_count, int64_t *rows)
{
    if (!inputs || count > MOST_INPUTS)
        return fail(DLCNET_BAD_ARGUMENT, inputs ? "%zu inputs are given" : "no inputs are given",
                    count);
    *rows = -1;
    for (int k = 0; k < type_count; k++) {
        const dlcnet_array *array = array_named(inputs, count, types[k].name);
        if (!array)
            return fail(DLCNET_BAD_ARGUMENT, "input %s is not given", types[k].name);
        int code = check_array(array, &types[k], rows);
        if (code != DLCNET_OK)
            return code;
    }
    if (count != (size_t)type_count)
        return fail(DLCNET_BAD_ARGUMENT, "%zu inputs are given, %s takes %d", count, MODEL.name,
                    type_count);
    return DLCNET_OK;
}

/* Run an entry of a program on what its arena holds. */
static int run_entry(dlcnet_net *net, int number, int entry)
{
    part *part = &net->parts[number];
    table **table = &part->tables[entry];
    if (!*table) {
        int code = table_open(table, &part->plan->entries[entry], net->variant, part->arena,
                              net->threads);
        if (code != DLCNET_OK)
            return code;
    }
    table_run(*table, net->team, net->variant->runner);
    return DLCNET_OK;
}

/* The fault word of an entry that ran, as a code and a message. */
static int fault_of(const entry *entry, const char *arena, const char *what)
{
    for (int k = 0; k < entry->output_count; k++) {
        const port *port = &entry->outputs[k];
        int32_t word = 0;
        if (port->role == FAULT_WORD)
            memcpy(&word, arena + port->value.offset, 4);
        if (word == -1)
            return fail(DLCNET_FAULT, "%s: the loss is not finite", what);
        if (word > 0 && word <= entry->check_count)
            return fail(DLCNET_FAULT, "%s: %s", what, entry->checks[word - 1]);
        if (word)
            return fail(DLCNET_FAULT, "%s: fault %d", what, (int)word);
    }
    return DLCNET_OK;
}

static void write_number(const value *value, char *arena, int64_t number)
{
    /* the machine is little-endian: a number's first bytes are its lower ones */
    memcpy(arena + value->offset, &number, value->type.bytes);
}

static void write_inputs(const dlcnet_net *net, const entry *entry, char *arena,
                         const dlcnet_array *inputs, size_t count)
{
    for (int k = 0; k < entry->input_count; k++) {
        const port *port = &entry->inputs[k];
        if (port->role == STEP_NUMBER)
            write_number(&port->value, arena, net->at.step);
        else if (port->role == SEED)
            write_number(&port->value, arena, (int64_t)net->at.seed);
        else
            memcpy(arena + port->value.offset,
                   array_named(inputs, count, port->value.type.name)->data,
                   port->value.type.bytes);
    }
}

static double number_in(const value *value, const char *arena)
{
    const char *at = arena + value->offset;
    double wide;
    float narrow;
    int64_t whole = 0;
    uint16_t half;
    uint32_t bits;
    switch (value->type.dtype) {
    case DLCNET_F64:
        memcpy(&wide, at, 8);
        return wide;
    case DLCNET_F32:
        memcpy(&narrow, at, 4);
        return narrow;
    case DLCNET_BF16:
        memcpy(&half, at, 2);
        bits = (uint32_t)half << 16;
        memcpy(&narrow, &bits, 4);
        return narrow;
    case DLCNET_F16:
        memcpy(&half, at, 2);
        wide = (half >> 10 & 31) == 31 ? (half & 1023 ? NAN : INFINITY)
               : half >> 10 & 31       ? ldexp(1024 + (half & 1023), (half >> 10 & 31) - 25)
                                       : ldexp(half & 1023, -24);
        return half >> 15 ? -wide : wide;
    default:
        memcpy(&whole, at, value->type.bytes);
        int unused = 64 - 8 * (int)value->type.bytes;
        int is_signed = value->type.dtype >= DLCNET_I64 && value->type.dtype <= DLCNET_I8;
        if (is_signed)
            return (double)((int64_t)((uint64_t)whole << unused) >> unused);
        return (double)(uint64_t)whole;
    }
}

static void read_metrics(dlcnet_net *net, const entry *entry, const char *arena)
{
    for (int k = 0; k < entry->output_count; k++) {
        const port *port = &entry->outputs[k];
        if (port->role == METRIC) {
            net->metrics[port->number] = number_in(&port->value, arena);
            net->has_metric[port->number] = 1;
        }
    }
}

static const batch_kind *batch_of(int64_t rows, int trains, const char *what)
{
    long long sizes[2] = {0, 0};
    int count = 0;
    for (int k = 0; k < MODEL.batch_count; k++) {
        const batch_kind *batch = &MODEL.batches[k];
        if (batch->trains != trains)
            continue;
        if (batch->rows == rows)
            return batch;
        if (count < 2)
            sizes[count++] = batch->rows;
    }
    if (!count)
        fail(DLCNET_BAD_ARGUMENT, "%s: the library was built to predict alone", what);
    else if (count == 1)
        fail(DLCNET_BAD_ARGUMENT, "%s: %lld rows are given; a batch has %lld", what,
             (long long)rows, sizes[0]);
    else
        fail(DLCNET_BAD_ARGUMENT, "%s: %lld rows are given; a batch has %lld or %lld", what,
             (long long)rows, sizes[0], sizes[1]);
    return NULL;
}

static int runs_now(const phase *phase, const dlcnet_position *at)
{
    return at->step % phase->every == phase->offset && at->epoch >= phase->first_epoch &&
           (phase->last_epoch < 0 || at->epoch < phase->last_epoch);
}

/* Run the entries of a batch; the first fault is the batch's. */
static int run_batch(dlcnet_net *net, const batch_kind *batch, const dlcnet_array *inputs,
                     size_t count, const char *what)
{
    char *arena = net->parts[0].arena;
    int fault = DLCNET_OK;
    memset(net->has_metric, 0, (size_t)MODEL.metric_count);
    for (int k = 0; k < batch->phase_count; k++) {
        const phase *phase = &batch->phases[k];
        if (batch->trains && !runs_now(phase, &net->at))
            continue;
        const entry *entry = &net->parts[0].plan->entries[phase->entry];
        write_inputs(net, entry, arena, inputs, count);
        int code = run_entry(net, 0, phase->entry);
        if (code != DLCNET_OK)
            return code;
        read_metrics(net, entry, arena);
        if (fault == DLCNET_OK)
            fault = fault_of(entry, arena, what);
    }
    return fault;
}

/* What every epoch begins with. */
static void begin_epoch(dlcnet_net *net)
{
    for (int k = 0; k < MODEL.each_epoch_count; k++) {
        const value *value = &net->parts[0].plan->values[MODEL.each_epoch[k].value];
        memcpy(net->parts[0].arena + value->offset, MODEL.each_epoch[k].data, value->type.bytes);
    }
}

static int run_rows(dlcnet_net *net, const dlcnet_array *inputs, size_t count, int trains)
{
    const char *what = trains ? "step" : "evaluate";
    int64_t rows;
    int code = check_arrays(inputs, count, MODEL.inputs, MODEL.input_count, &rows);
    const batch_kind *batch = code == DLCNET_OK ? batch_of(rows, trains, what) : NULL;
    if (!batch)
        return DLCNET_BAD_ARGUMENT;
    if (trains && net->at.batches == 0)
        begin_epoch(net);
    code = run_batch(net, batch, inputs, count, what);
    net->version += (uint64_t)trains;
    if (trains && code == DLCNET_OK) {
        net->at.step++;
        net->at.batches++;
        net->at.samples += rows;
    }
    return code;
}

int dlcnet_step(dlcnet_net *net, const dlcnet_array *inputs, size_t count)
{
    int code = enter(net, "step");
    return code == DLCNET_OK ? leave(net, run_rows(net, inputs, count, 1)) : code;
}

int dlcnet_evaluate(dlcnet_net *net, const dlcnet_array *inputs, size_t count)
{
    int code = enter(net, "evaluate");
    return code == DLCNET_OK ? leave(net, run_rows(net, inputs, count, 0)) : code;
}

static int metric_of(const dlcnet_net *net, const char *name, double *value)
{
    for (int k = 0; k < MODEL.metric_count; k++) {
        if (strcmp(MODEL.metrics[k], name) != 0)
            continue;
        if (!net->has_metric[k])
            return fail(DLCNET_BAD_ARGUMENT, "metric %s: the last run has not computed it", name);
        *value = net->metrics[k];
        return DLCNET_OK;
    }
    return fail(DLCNET_BAD_ARGUMENT, "%s has no metric %.200s", MODEL.name, name);
}

int dlcnet_metric(dlcnet_net *net, const char *name, double *value)
{
    if (!name || !value)
        return fail(DLCNET_BAD_ARGUMENT, "metric: NULL is given");
    int code = enter(net, "metric");
    return code == DLCNET_OK ? leave(net, metric_of(net, name, value)) : code;
}

/* The program whose block takes `count` rows: the largest block that is full, then a larger one
 * where at least half of it is (dlc/network.py, blocks_for). */
static int block_for(const dlcnet_net *net, int64_t count)
{
    int holding = -1, fitting = -1, largest = -1;
    for (int k = 0; k < MODEL.program_count; k++) {
        int64_t block = net->parts[k].plan->block;
        if (!block)
            continue;
        if (largest < 0 || block > net->parts[largest].plan->block)
            largest = k;
        if (block >= count && (holding < 0 || block < net->parts[holding].plan->block))
            holding = k;
        if (block <= count && (fitting < 0 || block > net->parts[fitting].plan->block))
            fitting = k;
    }
    holding = holding < 0 ? largest : holding;
    fitting = fitting < 0 ? holding : fitting;
    return 2 * count >= net->parts[holding].plan->block ? holding : fitting;
}

/* Rows `done`, `done` + 1, ... of the inputs, the last one again and again behind the end. */
static void write_block(const part *part, const dlcnet_array *inputs, size_t count, int64_t done,
                        int64_t rows)
{
    const entry *entry = &part->plan->entries[0];
    int64_t block = part->plan->block;
    for (int k = 0; k < entry->input_count; k++) {
        const value *value = &entry->inputs[k].value;
        const char *from = array_named(inputs, count, value->type.name)->data;
        char *to = part->arena + value->offset;
        size_t row = value->type.bytes / (size_t)block;
        for (int64_t i = 0; i < block; i++) {
            int64_t chosen = done + i < rows ? done + i : rows - 1;
            memcpy(to + (size_t)i * row, from + (size_t)chosen * row, row);
        }
    }
}

static int predict_rows(dlcnet_net *net, const dlcnet_array *inputs, size_t count, char *to,
                        int64_t rows)
{
    size_t row = MODEL.prediction[0].bytes;
    for (int64_t done = 0; done < rows;) {
        int number = block_for(net, rows - done);
        part *part = &net->parts[number];
        int code = open_part(net, number);
        if (code != DLCNET_OK)
            return code;
        int64_t kept = part->plan->block < rows - done ? part->plan->block : rows - done;
        write_block(part, inputs, count, done, rows);
        code = run_entry(net, number, 0);
        if (code == DLCNET_OK)
            code = fault_of(&part->plan->entries[0], part->arena, "predict");
        if (code != DLCNET_OK)
            return code;
        const value *result = &part->plan->entries[0].outputs[0].value;
        memcpy(to + (size_t)done * row, part->arena + result->offset, (size_t)kept * row);
        done += kept;
    }
    return DLCNET_OK;
}

static int predict(dlcnet_net *net, const dlcnet_array *inputs, size_t count, void *to,
                   size_t bytes)
{
    int64_t rows;
    if (!MODEL.prediction_count)
        return fail(DLCNET_BAD_ARGUMENT, "predict: the library was built to train alone");
    int code = check_arrays(inputs, count, MODEL.predict_inputs, MODEL.predict_input_count, &rows);
    if (code != DLCNET_OK)
        return code;
    size_t wanted = MODEL.prediction[0].bytes * (size_t)rows;
    if (bytes != wanted || (!to && bytes))
        return fail(DLCNET_BAD_ARGUMENT, "predict: the prediction of %lld rows takes %zu bytes, %s",
                    (long long)rows, wanted,
                    to ? "another number is given" : "and NULL is given");
    return predict_rows(net, inputs, count, to, rows);
}

int dlcnet_predict(dlcnet_net *net, const dlcnet_array *inputs, size_t count, void *to,
                   size_t bytes)
{
    int code = enter(net, "predict");
    return code == DLCNET_OK ? leave(net, predict(net, inputs, count, to, bytes)) : code;
}
