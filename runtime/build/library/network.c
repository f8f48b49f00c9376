/* Networks: made, entered by one thread at a time, described, read and written, and ended. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

enum { HUGE_PAGES_FROM = 4 << 20, MOST_THREADS = 256 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the list of networks */
static dlcnet_net *networks;

/* Take a network for this thread. Only the list is believed: a pointer that is in it is one. */
int enter(dlcnet_net *net, const char *what)
{
    int code = DLCNET_OK;
    pthread_mutex_lock(&lock);
    dlcnet_net *found = networks;
    while (found && found != net)
        found = found->next;
    if (!found)
        code = fail(DLCNET_BAD_ARGUMENT, "%s: the network is %s", what,
                    net ? "destroyed, or was never made" : "NULL");
    else if (found->process != getpid())
        code = fail(DLCNET_BAD_ARGUMENT, "%s: the network was made before a fork, and its threads "
                    "are in process %d; make one in the child", what, (int)found->process);
    else if (found->busy)
        code = fail(DLCNET_BUSY, "%s: another thread is using the network", what);
    else
        found->busy = 1;
    pthread_mutex_unlock(&lock);
    return code;
}

int leave(dlcnet_net *net, int code)
{
    pthread_mutex_lock(&lock);
    net->busy = 0;
    pthread_mutex_unlock(&lock);
    return code;
}

static void free_network(dlcnet_net *net)
{
    team_close(net->team);
    for (int k = 0; net->parts && k < MODEL.program_count; k++) {
        part *part = &net->parts[k];
        for (int i = 0; part->tables && i < part->plan->entry_count; i++)
            table_close(part->tables[i]);
        free(part->tables);
        if (part->arena)
            munmap(part->arena, (size_t)part->plan->arena_bytes);
    }
    free(net->parts);
    free(net->metrics);
    free(net->has_metric);
    free(net);
}

/* Have the memory of a program, and in it the values as they are now. */
int open_part(dlcnet_net *net, int number)
{
    part *part = &net->parts[number];
    const program *plan = part->plan;
    size_t bytes = (size_t)plan->arena_bytes;
    if (!part->arena) {
        void *arena = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (arena == MAP_FAILED)
            return fail(DLCNET_NO_MEMORY, "%s: no memory for %zu bytes", MODEL.name, bytes);
        if (bytes >= HUGE_PAGES_FROM)
            madvise(arena, bytes, MADV_HUGEPAGE);
        part->arena = arena;
        for (int k = 0; k < plan->constant_count; k++)
            memcpy(part->arena + plan->constants[k].offset, plan->constants[k].data,
                   (size_t)plan->constants[k].bytes);
    }
    if (number == 0 || part->version == net->version)
        return DLCNET_OK;
    for (int k = 0; k < plan->value_count; k++) {
        const value *to = &plan->values[k], *from = &net->parts[0].plan->values[to->home];
        memcpy(part->arena + to->offset, net->parts[0].arena + from->offset, to->type.bytes);
    }
    part->version = net->version;
    return DLCNET_OK;
}

static int choose(dlcnet_net *net, const char *isa)
{
    int code = DLCNET_OK, known = 0;
    for (int k = 0; k < MODEL.variant_count; k++) {
        const variant *variant = &MODEL.variants[k];
        if (isa && strcmp(isa, variant->isa) != 0)
            continue;
        known = 1;
        code = check_machine(variant);
        if (code == DLCNET_OK) {
            net->variant = variant;
            return DLCNET_OK;
        }
    }
    return known ? code : fail(DLCNET_BAD_ARGUMENT, "%s: it has no kernels for %.40s; it has %s",
                               MODEL.name, isa, dlcnet_instruction_sets());
}

static int build(dlcnet_net *net)
{
    net->parts = calloc((size_t)MODEL.program_count, sizeof *net->parts);
    net->metrics = calloc((size_t)MODEL.metric_count + 1, sizeof *net->metrics);
    net->has_metric = calloc((size_t)MODEL.metric_count + 1, 1);
    if (!net->parts || !net->metrics || !net->has_metric)
        return fail(DLCNET_NO_MEMORY, "%s: no memory", MODEL.name);
    for (int k = 0; k < MODEL.program_count; k++) {
        part *part = &net->parts[k];
        part->plan = &net->variant->programs[k];
        part->tables = calloc((size_t)part->plan->entry_count + 1, sizeof *part->tables);
        if (!part->tables)
            return fail(DLCNET_NO_MEMORY, "%s: no memory", MODEL.name);
    }
    net->version = 1;
    int code = open_part(net, 0);
    return code == DLCNET_OK ? team_open(&net->team, net->threads) : code;
}

int dlcnet_create(dlcnet_net **made, int abi, int threads, const char *isa)
{
    if (!made)
        return fail(DLCNET_BAD_ARGUMENT, "create: the place for the network is NULL");
    *made = NULL;
    if (abi != DLCNET_ABI)
        return fail(DLCNET_BAD_ARGUMENT, "create: the program was compiled for ABI %d, the library "
                    "has %d; compile the program with the library's header", abi, DLCNET_ABI);
    if (threads < 0 || threads > MOST_THREADS)
        return fail(DLCNET_BAD_ARGUMENT, "create: threads is %d; it is 0 to %d", threads,
                    MOST_THREADS);
    dlcnet_net *net = calloc(1, sizeof *net);
    if (!net)
        return fail(DLCNET_NO_MEMORY, "create: no memory");
    net->process = getpid();
    net->threads = threads ? threads : available_cores();
    int code = choose(net, isa);
    if (code == DLCNET_OK)
        code = build(net);
    if (code != DLCNET_OK) {
        free_network(net);
        return code;
    }
    pthread_mutex_lock(&lock);
    net->next = networks;
    networks = net;
    pthread_mutex_unlock(&lock);
    *made = net;
    return DLCNET_OK;
}

int dlcnet_destroy(dlcnet_net *net)
{
    if (!net)
        return DLCNET_OK;
    int code = enter(net, "destroy");
    if (code != DLCNET_OK)
        return code;
    pthread_mutex_lock(&lock);
    dlcnet_net **at = &networks;
    while (*at != net)
        at = &(*at)->next;
    *at = net->next;
    pthread_mutex_unlock(&lock);
    free_network(net);
    return DLCNET_OK;
}

const char *dlcnet_instruction_sets(void)
{
    return MODEL.isas;
}

const char *dlcnet_isa(const dlcnet_net *net)
{
    const char *isa = "";
    pthread_mutex_lock(&lock);
    for (const dlcnet_net *found = networks; found; found = found->next)
        if (found == net)
            isa = found->variant->isa;
    pthread_mutex_unlock(&lock);
    return isa;
}

int dlcnet_describe(int kind, int index, dlcnet_type *type)
{
    const program *home = &MODEL.variants[0].programs[0];
    const int counts[] = {MODEL.input_count, MODEL.predict_input_count, MODEL.prediction_count,
                          home->value_count, MODEL.metric_count};
    if (!type)
        return fail(DLCNET_BAD_ARGUMENT, "describe: the place for the type is NULL");
    if (kind < 0 || kind > DLCNET_METRIC || index < 0 || index >= counts[kind])
        return fail(DLCNET_BAD_ARGUMENT, "describe: kind %d has no number %d", kind, index);
    if (kind == DLCNET_METRIC)
        *type = (dlcnet_type){MODEL.metrics[index], DLCNET_F64, 0, NULL, 8};
    else
        *type = kind == DLCNET_INPUT           ? MODEL.inputs[index]
                : kind == DLCNET_PREDICT_INPUT ? MODEL.predict_inputs[index]
                : kind == DLCNET_PREDICTION    ? MODEL.prediction[index]
                                               : home->values[index].type;
    return DLCNET_OK;
}

/* The value called `name`, which takes `bytes`; NULL, and a message, where there is none. */
static const value *value_named(const dlcnet_net *net, const char *name, size_t bytes)
{
    const program *home = net->parts[0].plan;
    for (int k = 0; k < home->value_count; k++) {
        const value *value = &home->values[k];
        if (strcmp(value->type.name, name) != 0)
            continue;
        if (value->type.bytes == bytes)
            return value;
        fail(DLCNET_BAD_ARGUMENT, "%s takes %zu bytes, %zu are given", name, value->type.bytes,
             bytes);
        return NULL;
    }
    fail(DLCNET_BAD_ARGUMENT, "%s has no value %.200s", MODEL.name, name);
    return NULL;
}

int dlcnet_read(dlcnet_net *net, const char *name, void *to, size_t bytes)
{
    if (!name || !to)
        return fail(DLCNET_BAD_ARGUMENT, "read: NULL is given");
    int code = enter(net, "read");
    if (code != DLCNET_OK)
        return code;
    const value *value = value_named(net, name, bytes);
    if (value)
        memcpy(to, net->parts[0].arena + value->offset, bytes);
    return leave(net, value ? DLCNET_OK : DLCNET_BAD_ARGUMENT);
}

int dlcnet_write(dlcnet_net *net, const char *name, const void *from, size_t bytes)
{
    if (!name || !from)
        return fail(DLCNET_BAD_ARGUMENT, "write: NULL is given");
    int code = enter(net, "write");
    if (code != DLCNET_OK)
        return code;
    const value *value = value_named(net, name, bytes);
    if (value)
        memcpy(net->parts[0].arena + value->offset, from, bytes);
    net->version++;
    return leave(net, value ? DLCNET_OK : DLCNET_BAD_ARGUMENT);
}

int dlcnet_end_epoch(dlcnet_net *net)
{
    int code = enter(net, "end_epoch");
    if (code != DLCNET_OK)
        return code;
    net->at.epoch++;
    net->at.batches = net->at.samples = 0;
    return leave(net, DLCNET_OK);
}

int dlcnet_where(dlcnet_net *net, dlcnet_position *position)
{
    if (!position)
        return fail(DLCNET_BAD_ARGUMENT, "where: the place for the position is NULL");
    int code = enter(net, "where");
    if (code != DLCNET_OK)
        return code;
    *position = net->at;
    return leave(net, DLCNET_OK);
}
