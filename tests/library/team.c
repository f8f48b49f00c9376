/* The library's threads run each function once on every thread and come back: ./team, for the
 * sanitizer of data races. */
#include <stdio.h>

#include "internal.h"

enum { MEMBERS = 4, RUNS = 3000 };

static long done[MEMBERS]; /* of each thread, without any lock: a run must not overlap the next */
static long total;

static void count(int64_t *argument, int64_t number)
{
    done[number] += argument[0];
}

int main(void)
{
    team *team = NULL;
    if (team_open(&team, MEMBERS) != 0)
        return 2;
    for (int64_t run = 0; run < RUNS; run++) {
        int64_t by = run % 3;
        team_run(team, count, &by, 0);
        for (int k = 0; k < MEMBERS; k++) {
            total += done[k];
            done[k] = 0;
        }
    }
    team_close(team);
    printf("%ld\n", total);
    return total != (long)MEMBERS * RUNS;
}
