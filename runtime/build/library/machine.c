/* The machine: which instructions it has, and how many cores this process may use. */
#define _GNU_SOURCE /* sched_getaffinity */
#include <cpuid.h>
#include <sched.h>
#include <string.h>

#include "internal.h"

/* What the operating system saves of a thread: without it, wide registers may not be used. */
static uint64_t saved_registers(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27)))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return ((uint64_t)d << 32) | a;
}

static int has_feature(const feature *wanted, uint64_t saved)
{
    unsigned words[4];
    if (!__get_cpuid_count(wanted->leaf, wanted->subleaf, &words[0], &words[1], &words[2],
                           &words[3]))
        return 0;
    if (strncmp(wanted->name, "avx512", 6) == 0 && (saved & 0xe6) != 0xe6)
        return 0;
    if (strncmp(wanted->name, "avx", 3) == 0 && (saved & 6) != 6)
        return 0;
    return (words[wanted->word] >> wanted->bit) & 1;
}

int check_machine(const variant *variant)
{
    uint64_t saved = saved_registers();
    for (int k = 0; k < variant->feature_count; k++)
        if (!has_feature(&variant->features[k], saved))
            return fail(DLCNET_NO_MACHINE, "%s: its kernels for %s use %s, which this machine lacks",
                        MODEL.name, variant->isa, variant->features[k].name);
    return DLCNET_OK;
}

int available_cores(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count < 1 ? 1 : count > 256 ? 256 : count;
}
