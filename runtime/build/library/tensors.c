/* Safetensors files of any origin: read as a whole, and believed in nothing. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

static const uint64_t LARGEST_HEADER = 100u << 20;

uint32_t crc32_of(uint32_t crc, const void *data, size_t bytes)
{
    static uint32_t remainders[256];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    for (uint32_t k = 0; k < 256 && !remainders[255]; k++) {
        uint32_t value = k;
        for (int bit = 0; bit < 8; bit++)
            value = value & 1 ? 0xedb88320u ^ (value >> 1) : value >> 1;
        remainders[k] = value;
    }
    pthread_mutex_unlock(&lock);
    crc = ~crc;
    for (const unsigned char *at = data; bytes--; at++)
        crc = remainders[(crc ^ *at) & 255] ^ (crc >> 8);
    return ~crc;
}

static int read_all(int handle, char *to, size_t bytes)
{
    while (bytes) {
        ssize_t got = read(handle, to, bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return 0;
        to += got;
        bytes -= (size_t)got;
    }
    return 1;
}

/* The bytes of a regular file, to be freed. */
static int read_file(const char *path, char **content, size_t *bytes)
{
    struct stat found;
    int handle = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (handle < 0)
        return fail(DLCNET_BAD_FILE, "%s: %s", path, strerror(errno));
    int code = DLCNET_OK;
    *content = NULL;
    if (fstat(handle, &found) || !S_ISREG(found.st_mode))
        code = fail(DLCNET_BAD_FILE, "%s: is not a regular file", path);
    else if (!(*content = malloc((size_t)found.st_size + 1)))
        code = fail(DLCNET_NO_MEMORY, "%s: no memory for its %lld bytes", path,
                    (long long)found.st_size);
    else if (!read_all(handle, *content, (size_t)found.st_size))
        code = fail(DLCNET_BAD_FILE, "%s: cannot be read: %s", path, strerror(errno));
    *bytes = (size_t)found.st_size;
    close(handle);
    return code;
}

static int dtype_named(const char *name)
{
    for (int k = 0; name && k < DTYPE_COUNT; k++)
        if (strcmp(DTYPES[k].in_files, name) == 0)
            return k;
    return -1;
}

/* What a header says of one tensor; whether it fits `size` bytes of data. */
static int read_tensor(json *text, tensor *found, const char *data, uint64_t size)
{
    uint64_t ends[2] = {0, 0};
    int fields = 0;
    for (int first = 1; json_next(text, '{', &first);) {
        char *key = json_key(text);
        int count = 0;
        if (key && strcmp(key, "dtype") == 0) {
            char *name = json_string(text);
            found->dtype = dtype_named(name);
            free(name);
            fields |= 1;
        } else if (key && strcmp(key, "shape") == 0) {
            for (int inner = 1; json_next(text, '[', &inner) && count < MOST_AXES;)
                found->shape[count++] = json_count(text);
            found->axes = count;
            fields |= 2;
        } else if (key && strcmp(key, "data_offsets") == 0) {
            for (int inner = 1; json_next(text, '[', &inner) && count < 2;)
                ends[count++] = json_count(text);
            fields |= 4;
        } else {
            text->failed = 1;
        }
        free(key);
    }
    if (text->failed || fields != 7 || found->dtype < 0 || ends[0] > ends[1] || ends[1] > size)
        return 0;
    uint64_t bytes = (uint64_t)DTYPES[found->dtype].bytes;
    for (int axis = 0; axis < found->axes; axis++) {
        if (found->shape[axis] && bytes > UINT64_MAX / found->shape[axis])
            return 0;
        bytes *= found->shape[axis];
    }
    found->data = data + ends[0];
    found->bytes = (size_t)bytes;
    return bytes == ends[1] - ends[0];
}

static int read_metadata(json *text, tensor_file *file)
{
    for (int first = 1; json_next(text, '{', &first);) {
        char *key = json_key(text), *said = json_string(text);
        if (key && said && strcmp(key, "dlc") == 0 && !file->record) {
            file->record = said;
            said = NULL;
        }
        free(key);
        free(said);
    }
    return !text->failed;
}

static int grow(tensor_file *file)
{
    if (file->count & (file->count - 1) || (file->count && file->count < 16))
        return 1; /* there is room up to the next power of two */
    size_t room = file->count ? 2 * file->count : 16;
    tensor *more = realloc(file->tensors, room * sizeof *more);
    file->tensors = more ? more : file->tensors;
    return more != NULL;
}

static int read_header(json *text, tensor_file *file, const char *data, uint64_t size)
{
    for (int first = 1; json_next(text, '{', &first);) {
        char *name = json_key(text);
        if (name && strcmp(name, "__metadata__") == 0) {
            free(name);
            if (!read_metadata(text, file))
                return 0;
            continue;
        }
        if (!name || !grow(file)) {
            free(name);
            return 0;
        }
        tensor *found = &file->tensors[file->count++];
        *found = (tensor){.name = name, .dtype = -1};
        if (!read_tensor(text, found, data, size))
            return 0;
    }
    return !text->failed;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const tensor *)a)->name, ((const tensor *)b)->name);
}

void free_tensors(tensor_file *file)
{
    for (size_t k = 0; k < file->count; k++)
        free(file->tensors[k].name);
    free(file->tensors);
    free(file->record);
    free(file->content);
    *file = (tensor_file){0};
}

const tensor *tensor_named(const tensor_file *file, const char *name)
{
    tensor wanted = {.name = (char *)name};
    return file->count ? bsearch(&wanted, file->tensors, file->count, sizeof wanted, by_name)
                       : NULL;
}

static int parse(const char *path, tensor_file *file, size_t bytes)
{
    uint64_t header = 0;
    if (bytes < 8)
        return fail(DLCNET_BAD_FILE, "%s: is not a safetensors file: %zu bytes", path, bytes);
    memcpy(&header, file->content, 8);
    if (header > LARGEST_HEADER || header > bytes - 8)
        return fail(DLCNET_BAD_FILE, "%s: is not a safetensors file, or cut off", path);
    const char *data = file->content + 8 + header;
    json text = {file->content + 8, data, 0};
    if (!read_header(&text, file, data, bytes - 8 - header))
        return fail(DLCNET_BAD_FILE, "%s: its header is damaged%s%s", path,
                    file->count ? " at or behind " : "",
                    file->count ? file->tensors[file->count - 1].name : "");
    if (file->count)
        qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
    for (size_t k = 1; k < file->count; k++)
        if (strcmp(file->tensors[k - 1].name, file->tensors[k].name) == 0)
            return fail(DLCNET_BAD_FILE, "%s: holds %s twice", path, file->tensors[k].name);
    return DLCNET_OK;
}

int read_tensors(const char *path, tensor_file *file)
{
    size_t bytes = 0;
    *file = (tensor_file){0};
    int code = read_file(path, &file->content, &bytes);
    if (code == DLCNET_OK)
        code = parse(path, file, bytes);
    if (code != DLCNET_OK)
        free_tensors(file);
    return code;
}
