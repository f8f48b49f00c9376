/* The order of samples of `dlc train`: the words of Philox 4x64-10, keyed by seed and epoch, sorted
 * (Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, 2011; the stream is
 * that of NumPy's Philox, which counts before it draws). */
#include <stdlib.h>

#include "internal.h"

typedef struct {
    uint64_t word;
    int64_t place;
} drawn;

static uint64_t multiply(uint64_t a, uint64_t b, uint64_t *high)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    *high = (uint64_t)(product >> 64);
    return (uint64_t)product;
}

/* Four words for one value of the counter. */
static void philox(uint64_t counter, uint64_t seed, uint64_t epoch, uint64_t words[4])
{
    uint64_t x[4] = {counter, 0, 0, 0}, high0, high1;
    for (int round = 0; round < 10; round++) {
        uint64_t low0 = multiply(0xd2e7470ee14c6c93u, x[0], &high0);
        uint64_t low1 = multiply(0xca5a826395121157u, x[2], &high1);
        x[0] = high1 ^ x[1] ^ seed;
        x[1] = low1;
        x[2] = high0 ^ x[3] ^ epoch;
        x[3] = low0;
        seed += 0x9e3779b97f4a7c15u;
        epoch += 0xbb67ae8584caa73bu;
    }
    for (int k = 0; k < 4; k++)
        words[k] = x[k];
}

static int by_word(const void *a, const void *b)
{
    const drawn *first = a, *second = b;
    if (first->word != second->word)
        return first->word < second->word ? -1 : 1;
    return first->place < second->place ? -1 : 1;
}

int dlcnet_order(uint64_t seed, int64_t epoch, int64_t count, int64_t *order)
{
    if (!order || count < 0 || epoch < 0)
        return fail(DLCNET_BAD_ARGUMENT, "order: NULL or a negative number is given");
    drawn *all = (uint64_t)count < SIZE_MAX / sizeof *all - 4
                     ? malloc(((size_t)count + 4) * sizeof *all)
                     : NULL;
    if (!all)
        return fail(DLCNET_NO_MEMORY, "order: no memory for %lld samples", (long long)count);
    for (int64_t k = 0; k < count; k += 4) {
        uint64_t words[4];
        philox((uint64_t)k / 4 + 1, seed, (uint64_t)epoch, words);
        for (int i = 0; i < 4; i++)
            all[k + i] = (drawn){words[i], k + i};
    }
    if (!MODEL.in_order)
        qsort(all, (size_t)count, sizeof *all, by_word);
    for (int64_t k = 0; k < count; k++)
        order[k] = all[k].place;
    free(all);
    return DLCNET_OK;
}
