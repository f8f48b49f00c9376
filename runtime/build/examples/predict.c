/* Predicts with dlcnet without Python:
 *
 *     ./predict WEIGHTS OUT DATA...
 *
 * WEIGHTS is a checkpoint, OUT the file of raw rows to write, DATA one file of raw rows for each of
 * the inputs of a prediction that dlcnet.h lists, in that order. */
#include <stdio.h>
#include <stdlib.h>

#include "dlcnet.h"

enum { MOST_INPUTS = 16 };

static void check(int code)
{
    if (code != DLCNET_OK) {
        fprintf(stderr, "predict: %s\n", dlcnet_message());
        exit(code);
    }
}

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "predict: %s: %s\n", what, why);
    exit(DLCNET_BAD_ARGUMENT);
}

static char *read_data(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        fail(path, "cannot be read");
    *bytes = (size_t)ftell(file);
    rewind(file);
    char *content = (char *)malloc(*bytes + 1);
    if (!content || fread(content, 1, *bytes, file) != *bytes)
        fail(path, "cannot be read");
    fclose(file);
    return content;
}

int main(int argc, char **argv)
{
    dlcnet_array inputs[MOST_INPUTS];
    dlcnet_type input, prediction;
    dlcnet_net *net;
    size_t rows = 0;
    int count = 0;
    for (; count < MOST_INPUTS && dlcnet_describe(DLCNET_PREDICT_INPUT, count, &input) == 0; count++) {
        if (count + 3 >= argc)
            fail("usage", "predict WEIGHTS OUT and a file for each input");
        inputs[count].name = input.name;
        inputs[count].dtype = input.dtype;
        inputs[count].data = read_data(argv[3 + count], &inputs[count].bytes);
        rows = inputs[count].bytes / input.bytes;
    }
    check(dlcnet_create(&net, DLCNET_ABI, 0, NULL));
    check(dlcnet_load(net, argv[1]));
    check(dlcnet_describe(DLCNET_PREDICTION, 0, &prediction));
    size_t bytes = rows * prediction.bytes;
    char *found = (char *)malloc(bytes + 1);
    check(dlcnet_predict(net, inputs, (size_t)count, found, bytes));
    FILE *file = fopen(argv[2], "wb");
    if (!file || fwrite(found, 1, bytes, file) != bytes || fclose(file) != 0)
        fail(argv[2], "cannot be written");
    printf("%s: %zu rows\n", argv[2], rows);
    check(dlcnet_destroy(net));
    for (int k = 0; k < count; k++)
        free((void *)inputs[k].data);
    free(found);
    return 0;
}
