/* Trains dlcnet without Python:
 *
 *     ./train WEIGHTS EPOCHS OUT DATA...
 *
 * WEIGHTS is a checkpoint to go on from (initial.safetensors is where `dlc train` begins), EPOCHS
 * how many there are in all, OUT the checkpoint to write, DATA one file of raw rows for each of the
 * inputs that dlcnet.h lists, in that order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dlcnet.h"

enum { MOST_INPUTS = 16 };

typedef struct {
    dlcnet_type type;
    char *rows, *batch; /* all of the file, and those of a step */
    long count;
} data;

static void check(int code)
{
    if (code != DLCNET_OK) {
        fprintf(stderr, "train: %s\n", dlcnet_message());
        exit(code);
    }
}

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "train: %s: %s\n", what, why);
    exit(DLCNET_BAD_ARGUMENT);
}

static void read_data(data *input, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        fail(path, "cannot be read");
    long bytes = ftell(file), row = (long)input->type.bytes;
    rewind(file);
    if (bytes <= 0 || bytes % row != 0)
        fail(path, "does not hold whole rows");
    input->rows = (char *)malloc((size_t)bytes);
    input->batch = (char *)malloc((size_t)bytes);
    input->count = bytes / row;
    if (!input->rows || !input->batch || fread(input->rows, 1, (size_t)bytes, file) != (size_t)bytes)
        fail(path, "cannot be read");
    fclose(file);
}

/* A step on the samples that order[0 .. rows - 1] name; the loss. */
static double step(dlcnet_net *net, data *inputs, int count, const int64_t *order, long rows)
{
    dlcnet_array arrays[MOST_INPUTS];
    double loss = 0;
    for (int k = 0; k < count; k++) {
        size_t row = inputs[k].type.bytes;
        for (long i = 0; i < rows; i++)
            memcpy(inputs[k].batch + (size_t)i * row, inputs[k].rows + (size_t)order[i] * row, row);
        arrays[k].name = inputs[k].type.name;
        arrays[k].dtype = inputs[k].type.dtype;
        arrays[k].data = inputs[k].batch;
        arrays[k].bytes = (size_t)rows * row;
    }
    check(dlcnet_step(net, arrays, (size_t)count));
    dlcnet_metric(net, "loss", &loss);
    return loss;
}

static long number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < 0)
        fail(text, "is no number of epochs");
    return value;
}

int main(int argc, char **argv)
{
    data inputs[MOST_INPUTS];
    dlcnet_position at;
    dlcnet_net *net;
    int count = 0;
    while (count < MOST_INPUTS && dlcnet_describe(DLCNET_INPUT, count, &inputs[count].type) == 0)
        count++;
    if (argc != 4 + count || count == 0)
        fail("usage", "train WEIGHTS EPOCHS OUT and a file for each input");
    long epochs = number(argv[2]);
    for (int k = 0; k < count; k++) {
        read_data(&inputs[k], argv[4 + k]);
        if (inputs[k].count != inputs[0].count)
            fail(argv[4 + k], "has another number of rows than the first file");
    }
    check(dlcnet_create(&net, DLCNET_ABI, 0, NULL));
    check(dlcnet_load(net, argv[1]));
    check(dlcnet_where(net, &at));
    long samples = inputs[0].count, batch = BATCH_ROWS;
    int64_t *order = (int64_t *)malloc((size_t)samples * sizeof *order);
    for (; order && at.epoch < epochs; check(dlcnet_where(net, &at))) {
        double sum = 0;
        check(dlcnet_order(at.seed, at.epoch, samples, order));
        for (long done = at.samples, rows; done < samples; done += rows) {
            rows = samples - done < batch ? samples - done : batch;
            sum += step(net, inputs, count, order + done, rows) * (double)rows;
        }
        check(dlcnet_end_epoch(net));
        printf("epoch %lld: loss %.6f\n", (long long)at.epoch + 1, sum / (double)samples);
    }
    check(dlcnet_save(net, argv[3]));
    printf("%s written; kernels for %s\n", argv[3], dlcnet_isa(net));
    check(dlcnet_destroy(net));
    for (int k = 0; k < count; k++) {
        free(inputs[k].rows);
        free(inputs[k].batch);
    }
    free(order);
    return 0;
}
