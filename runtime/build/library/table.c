/* The launch table of an entry in memory of its own, with the addresses of this process. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum { SPINS_OF_A_WAIT = 1000 };

struct table {
    const entry *entry;
    int is_alone; /* one thread runs it, the caller's */
    int64_t *block; /* control, code, rows, arguments, moves, counters */
    int64_t *control, *code, *rows, *arguments, *moves, *counters;
    int64_t counter_words;
    int64_t parameter; /* what the runner takes: the address of the control block */
};

static int64_t lines(int64_t words)
{
    return (words + LINE_WORDS - 1) / LINE_WORDS * LINE_WORDS;
}

static int64_t address(const void *pointer)
{
    return (int64_t)(intptr_t)pointer;
}

static int allocate(table *table, int threads)
{
    const entry *e = table->entry;
    int64_t sizes[] = {lines(CONTROL_WORDS), lines(e->code_count * CODE_WORDS),
                       lines(e->row_count * ROW_WORDS), lines(e->argument_count),
                       lines(3 * e->move_count), e->row_count * threads * LINE_WORDS};
    int64_t **places[] = {&table->control, &table->code, &table->rows, &table->arguments,
                          &table->moves, &table->counters};
    int64_t words = 0;
    for (int k = 0; k < 6; k++)
        words += sizes[k];
    table->block = aligned_alloc(LINE_WORDS * 8, (size_t)words * 8);
    if (!table->block)
        return fail(DLCNET_NO_MEMORY, "%s: no memory for a launch table", MODEL.name);
    memset(table->block, 0, (size_t)words * 8);
    int64_t *at = table->block;
    for (int k = 0; k < 6; at += sizes[k++])
        *places[k] = at;
    table->counter_words = sizes[5];
    return DLCNET_OK;
}

/* Rows, arguments and moves, from what is counted to addresses. */
static void fill_rows(table *table, const variant *variant, const char *arena, int threads)
{
    const entry *e = table->entry;
    memcpy(table->arguments, e->arguments, (size_t)e->argument_count * 8);
    for (int64_t k = 0; k < e->base_count; k++)
        table->arguments[e->bases[k]] += address(arena);
    for (int64_t k = 0; k < e->row_count; k++) {
        int64_t *row = table->rows + k * ROW_WORDS, number = e->rows[k][0];
        row[FUNCTION] = number ? (int64_t)(intptr_t)variant->kernels[number - 1] : 0;
        row[ARGUMENTS] = address(table->arguments + e->rows[k][1]);
        row[CHUNKS] = e->rows[k][2];
        row[COUNTERS] = address(table->counters + k * threads * LINE_WORDS);
    }
    for (int64_t k = 0; k < e->move_count; k++) {
        memcpy(table->moves + 3 * k, e->moves[k], 3 * 8);
        table->moves[3 * k] = address(table->arguments + e->moves[k][0]);
    }
}

static void fill_code(table *table, int threads)
{
    const entry *e = table->entry;
    memcpy(table->code, e->code, (size_t)e->code_count * CODE_WORDS * 8);
    for (int64_t k = 0; k < e->code_count; k++) {
        int64_t *code = table->code + k * CODE_WORDS;
        if (code[KIND] == BRANCH)
            code[FLAG] = address(table->arguments + code[FLAG]);
        if (code[KIND] == AGAIN)
            code[MOVES] = address(table->moves + 3 * code[MOVES]);
        if (code[KIND] == WORK && k > 0 && threads == 1)
            code[INLINE] = 1;
    }
    table->control[ROWS] = address(table->rows);
    table->control[CODE] = address(table->code);
    table->control[THREADS] = threads;
    table->control[SPINS] = threads > available_cores() ? 0 : SPINS_OF_A_WAIT;
    table->parameter = address(table->control);
}

int table_open(table **made, const entry *entry, const variant *variant, char *arena, int threads)
{
    table *table = calloc(1, sizeof *table);
    if (!table)
        return fail(DLCNET_NO_MEMORY, "%s: no memory for a launch table", MODEL.name);
    table->entry = entry;
    threads = entry->is_short ? 1 : threads;
    table->is_alone = threads == 1;
    int code = allocate(table, threads);
    if (code != DLCNET_OK) {
        free(table);
        return code;
    }
    fill_rows(table, variant, arena, threads);
    fill_code(table, threads);
    *made = table;
    return DLCNET_OK;
}

/* Make the table ready for one run: nothing is counted yet. */
static void rewind_table(table *table)
{
    const int cleared[] = {STOP, STEP, DONE, FINISHED, CURRENT, POSITION};
    for (size_t k = 0; k < sizeof cleared / sizeof *cleared; k++)
        table->control[cleared[k]] = 0;
    table->control[STEPS] = 1;
    memset(table->counters, 0, (size_t)table->counter_words * 8);
    for (int64_t k = 0; k < table->entry->code_count; k++) {
        int64_t *code = table->code + k * CODE_WORDS;
        if (code[KIND] == WORK)
            code[OPENED] = code[CHUNKS_DONE] = 0;
        if (code[KIND] == AGAIN)
            code[ITERATION] = 0;
    }
    table->code[OPENED] = 1;
}

void table_run(table *table, team *team, kernel runner)
{
    rewind_table(table);
    team_run(team, runner, &table->parameter, table->is_alone);
}

void table_close(table *table)
{
    if (table)
        free(table->block);
    free(table);
}
