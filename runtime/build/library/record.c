/* What a checkpoint says besides its tensors: whose it is, where training stands, a checksum over
 * all of it; as runtime/train/checkpoint.py has it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum { FORMAT = 2 };
static const uint64_t LARGEST_COUNT = (uint64_t)1 << 62;

void write_record(text *to, const dlcnet_position *at)
{
    say_number(to, "{\"format\": ", FORMAT);
    say(to, ", \"identity\": {\"model\": ");
    say(to, MODEL.json_name);
    say(to, ", \"task\": ");
    say(to, MODEL.json_task);
    say_number(to, ", \"seed\": ", at->seed);
    say_number(to, ", \"batch\": ", (uint64_t)MODEL.batch);
    say(to, ", \"learning_rate\": ");
    say(to, MODEL.json_schedule);
    say_number(to, ", \"epochs\": ", (uint64_t)MODEL.epochs);
    say_number(to, "}, \"position\": {\"step\": ", (uint64_t)at->step);
    say_number(to, ", \"epoch\": ", (uint64_t)at->epoch);
    say_number(to, ", \"batches\": ", (uint64_t)at->batches);
    say_number(to, ", \"partial\": {}, \"samples\": ", (uint64_t)at->samples);
    say_number(to, ", \"best\": null, \"best_epoch\": ", (uint64_t)at->epoch);
    say(to, ", \"history\": []}, \"network\": ");
    say(to, MODEL.json_network);
    say(to, "}");
}

/* What the checksum covers of a tensor besides its bytes: "w float32 (3, 4);" */
uint32_t crc_of_tensor(uint32_t crc, const char *name, int dtype, int axes,
                              const uint64_t *shape, const void *data, size_t bytes)
{
    char words[64];
    crc = crc32_of(crc, name, strlen(name));
    snprintf(words, sizeof words, " %s (", DTYPES[dtype].in_numpy);
    crc = crc32_of(crc, words, strlen(words));
    for (int axis = 0; axis < axes; axis++) {
        const char *behind = axis + 1 < axes ? ", " : axes == 1 ? "," : "";
        snprintf(words, sizeof words, "%" PRIu64 "%s", shape[axis], behind);
        crc = crc32_of(crc, words, strlen(words));
    }
    crc = crc32_of(crc, ");", 2);
    return crc32_of(crc, data, bytes);
}

static uint64_t counted(json *text, const char *key, const char *wanted, uint64_t before)
{
    if (!key || strcmp(key, wanted) != 0)
        return before;
    uint64_t found = json_count(text);
    text->failed |= found >= LARGEST_COUNT;
    return found;
}

static void read_identity(json *text, record *found)
{
    for (int first = 1; json_next(text, '{', &first);) {
        char *key = json_key(text);
        if (key && strcmp(key, "model") == 0) {
            char *name = json_string(text);
            found->is_ours = name && strcmp(name, MODEL.name) == 0;
            free(name);
        } else if (key && strcmp(key, "seed") == 0) {
            found->at.seed = counted(text, key, "seed", 0);
        } else if (key && strcmp(key, "batch") == 0) {
            found->batch = counted(text, key, "batch", 0);
        } else {
            json_skip(text, 0);
        }
        free(key);
    }
}

static void read_position(json *text, dlcnet_position *at)
{
    const struct { const char *name; int64_t *to; } counts[] = {
        {"step", &at->step}, {"epoch", &at->epoch}, {"batches", &at->batches},
        {"samples", &at->samples}};
    for (int first = 1; json_next(text, '{', &first);) {
        char *key = json_key(text);
        int known = 0;
        for (int k = 0; k < 4 && key; k++)
            if (strcmp(key, counts[k].name) == 0) {
                *counts[k].to = (int64_t)counted(text, key, counts[k].name, 0);
                known = 1;
            }
        if (!known)
            json_skip(text, 0);
        free(key);
    }
}

/* The record of a checkpoint: its checksum, then what it says. */
int read_record(const char *path, const tensor_file *file, record *found)
{
    const char *space = strchr(file->record, ' ');
    if (!space || space - file->record != 8)
        return fail(DLCNET_BAD_FILE, "%s: its record has no checksum", path);
    uint32_t crc = crc32_of(0, space + 1, strlen(space + 1));
    for (size_t k = 0; k < file->count; k++) {
        const tensor *t = &file->tensors[k];
        crc = crc_of_tensor(crc, t->name, t->dtype, t->axes, t->shape, t->data, t->bytes);
    }
    char digits[16];
    snprintf(digits, sizeof digits, "%08" PRIx32, crc);
    if (memcmp(digits, file->record, 8) != 0)
        return fail(DLCNET_BAD_FILE, "%s: its contents do not match their checksum: it is damaged",
                    path);
    json text = {space + 1, space + 1 + strlen(space + 1), 0};
    for (int first = 1; json_next(&text, '{', &first);) {
        char *key = json_key(&text);
        if (key && strcmp(key, "format") == 0)
            found->format = json_count(&text);
        else if (key && strcmp(key, "identity") == 0)
            read_identity(&text, found);
        else if (key && strcmp(key, "position") == 0)
            read_position(&text, &found->at);
        else
            json_skip(&text, 0);
        free(key);
    }
    if (text.failed)
        return fail(DLCNET_BAD_FILE, "%s: its record cannot be read", path);
    if (found->format != FORMAT)
        return fail(DLCNET_BAD_FILE, "%s: has format %" PRIu64 ", this library reads %d", path,
                    found->format, FORMAT);
    if (!found->is_ours)
        return fail(DLCNET_BAD_FILE, "%s: is of another model than %s", path, MODEL.name);
    if (MODEL.trains && found->batch != (uint64_t)MODEL.batch)
        return fail(DLCNET_BAD_FILE, "%s: was made with batch %" PRIu64 ", not %" PRId64, path,
                    found->batch, MODEL.batch);
    return DLCNET_OK;
}
