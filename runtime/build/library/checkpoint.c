/* Checkpoints, read and written: safetensors files with a record. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

static int check_tensor(const char *path, const tensor *found, const value *value)
{
    const dlcnet_type *type = &value->type;
    if (!found)
        return fail(DLCNET_BAD_FILE, "%s: has no %s, which %s needs", path, type->name, MODEL.name);
    if (found->dtype != type->dtype)
        return fail(DLCNET_BAD_FILE, "%s: %s is %s, but %s needs %s", path, type->name,
                    DTYPES[found->dtype].name, MODEL.name, DTYPES[type->dtype].name);
    int fits = found->axes == type->axes;
    for (int axis = 0; fits && axis < type->axes; axis++)
        fits = found->shape[axis] == (uint64_t)type->shape[axis];
    return fits ? DLCNET_OK
                : fail(DLCNET_BAD_FILE, "%s: %s has another shape than %s needs (%zu bytes, not "
                       "%zu)", path, type->name, MODEL.name, found->bytes, type->bytes);
}

/* A checkpoint to go on training from may hold nothing that the network has not. */
static int check_foreign(const char *path, const tensor_file *file, const program *home)
{
    for (size_t k = 0; k < file->count; k++) {
        int known = 0;
        for (int i = 0; i < home->value_count && !known; i++)
            known = strcmp(home->values[i].type.name, file->tensors[k].name) == 0;
        if (!known)
            return fail(DLCNET_BAD_FILE, "%s: holds %s, which %s has not", path,
                        file->tensors[k].name, MODEL.name);
    }
    return DLCNET_OK;
}

static int load(dlcnet_net *net, const char *path, int parameters_alone)
{
    const program *home = net->parts[0].plan;
    tensor_file file;
    record found = {.at = net->at};
    int code = read_tensors(path, &file);
    if (code != DLCNET_OK)
        return code;
    if (file.record)
        code = read_record(path, &file, &found);
    if (code == DLCNET_OK && MODEL.trains && !parameters_alone)
        code = check_foreign(path, &file, home);
    for (int k = 0; k < home->value_count && code == DLCNET_OK; k++)
        if (home->values[k].is_parameter || !parameters_alone)
            code = check_tensor(path, tensor_named(&file, home->values[k].type.name),
                                &home->values[k]);
    for (int k = 0; k < home->value_count && code == DLCNET_OK; k++) {
        const value *value = &home->values[k];
        if (value->is_parameter || !parameters_alone)
            memcpy(net->parts[0].arena + value->offset, tensor_named(&file, value->type.name)->data,
                   value->type.bytes);
    }
    if (code == DLCNET_OK) {
        net->version++;
        net->at = parameters_alone ? net->at : found.at;
    }
    free_tensors(&file);
    return code;
}

static int load_from(dlcnet_net *net, const char *path, int parameters_alone)
{
    if (!path)
        return fail(DLCNET_BAD_ARGUMENT, "load: the path is NULL");
    int code = enter(net, "load");
    return code == DLCNET_OK ? leave(net, load(net, path, parameters_alone)) : code;
}

int dlcnet_load(dlcnet_net *net, const char *path)
{
    return load_from(net, path, 0);
}

int dlcnet_load_parameters(dlcnet_net *net, const char *path)
{
    return load_from(net, path, 1);
}

/* All values in the order of the file, one after another; to be freed. */
static char *gather(const dlcnet_net *net, uint64_t *starts, uint64_t *bytes)
{
    const program *home = net->parts[0].plan;
    *bytes = 0;
    for (int k = 0; k < home->value_count; k++) {
        starts[MODEL.file_order[k]] = *bytes;
        *bytes += home->values[MODEL.file_order[k]].type.bytes;
    }
    char *data = malloc(*bytes + 1);
    for (int k = 0; k < home->value_count && data; k++)
        memcpy(data + starts[k], net->parts[0].arena + home->values[k].offset,
               home->values[k].type.bytes);
    return data;
}

static int by_value_name(const void *a, const void *b)
{
    const value *values = MODEL.variants[0].programs[0].values;
    return strcmp(values[*(const int *)a].type.name, values[*(const int *)b].type.name);
}

static uint32_t crc_of_values(uint32_t crc, const char *data, const uint64_t *starts, int *order)
{
    const program *home = &MODEL.variants[0].programs[0];
    for (int k = 0; k < home->value_count; k++)
        order[k] = k;
    qsort(order, (size_t)home->value_count, sizeof *order, by_value_name);
    for (int k = 0; k < home->value_count; k++) {
        const dlcnet_type *type = &home->values[order[k]].type;
        uint64_t shape[MOST_AXES];
        for (int axis = 0; axis < type->axes; axis++)
            shape[axis] = (uint64_t)type->shape[axis];
        crc = crc_of_tensor(crc, type->name, type->dtype, type->axes, shape,
                            data + starts[order[k]], type->bytes);
    }
    return crc;
}

static void write_header(text *to, const dlcnet_net *net, const text *said, uint32_t crc,
                         const uint64_t *starts)
{
    const program *home = net->parts[0].plan;
    text record = {0};
    char digits[16];
    snprintf(digits, sizeof digits, "%08" PRIx32 " ", crc);
    say(&record, digits);
    add(&record, said->at, said->length);
    say(to, "{\"__metadata__\":{\"dlc\":");
    to->failed |= record.failed;
    if (!record.failed)
        quote(to, record.at);
    free(record.at);
    say(to, "}");
    for (int k = 0; k < home->value_count; k++) {
        int number = MODEL.file_order[k];
        const dlcnet_type *type = &home->values[number].type;
        say(to, ",");
        quote(to, type->name);
        say(to, ":{\"dtype\":");
        quote(to, DTYPES[type->dtype].in_files);
        say(to, ",\"shape\":[");
        for (int axis = 0; axis < type->axes; axis++)
            say_number(to, axis ? "," : "", (uint64_t)type->shape[axis]);
        say_number(to, "],\"data_offsets\":[", starts[number]);
        say_number(to, ",", starts[number] + type->bytes);
        say(to, "]}");
    }
    say(to, "}");
    while (to->length % 8 && !to->failed)
        say(to, " ");
}

static int write_all(int handle, const void *data, size_t bytes)
{
    for (const char *at = data; bytes;) {
        ssize_t put = write(handle, at, bytes);
        if (put < 0 && errno != EINTR)
            return 0;
        at += put > 0 ? put : 0;
        bytes -= put > 0 ? (size_t)put : 0;
    }
    return 1;
}

/* Make a header and data the file `path`: written beside it, synced, and renamed over it. */
static int replace_file(const char *path, const text *header, const char *data, size_t bytes)
{
    const char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    text beside = {0};
    add(&beside, path, folder);
    say(&beside, ".");
    say(&beside, path + folder);
    say(&beside, ".tmp");
    if (beside.failed) {
        free(beside.at);
        return fail(DLCNET_NO_MEMORY, "%s: no memory to write it", path);
    }
    uint64_t length = header->length;
    int handle = open(beside.at, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int done = handle >= 0 && write_all(handle, &length, 8) &&
               write_all(handle, header->at, header->length) && write_all(handle, data, bytes) &&
               fsync(handle) == 0;
    int error = errno;
    if (handle >= 0 && close(handle) != 0 && done) {
        done = 0;
        error = errno;
    }
    if (done && rename(beside.at, path) != 0) {
        done = 0;
        error = errno;
    }
    if (!done && handle >= 0)
        unlink(beside.at);
    if (done && folder) {
        beside.at[folder] = 0;
        int place = open(beside.at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (place >= 0) {
            fsync(place);
            close(place);
        }
    }
    free(beside.at);
    return done ? DLCNET_OK
                : fail(DLCNET_SYSTEM, "%s: cannot be written: %s", path, strerror(error));
}

static int save(const dlcnet_net *net, const char *path)
{
    int count = net->parts[0].plan->value_count;
    uint64_t *starts = calloc((size_t)count + 1, sizeof *starts), bytes = 0;
    int *order = calloc((size_t)count + 1, sizeof *order);
    char *data = starts && order ? gather(net, starts, &bytes) : NULL;
    text record = {0}, header = {0};
    write_record(&record, &net->at);
    if (data && !record.failed) {
        uint32_t crc = crc32_of(0, record.at, record.length);
        write_header(&header, net, &record, crc_of_values(crc, data, starts, order), starts);
    }
    int code = !data || record.failed || header.failed
                   ? fail(DLCNET_NO_MEMORY, "save: no memory for the values")
                   : replace_file(path, &header, data, bytes);
    free(starts);
    free(order);
    free(data);
    free(record.at);
    free(header.at);
    return code;
}

int dlcnet_save(dlcnet_net *net, const char *path)
{
    if (!path)
        return fail(DLCNET_BAD_ARGUMENT, "save: the path is NULL");
    int code = enter(net, "save");
    return code == DLCNET_OK ? leave(net, save(net, path)) : code;
}
