/* A team of threads that run one function together; the caller is the first of them.
 *
 * A waiting thread looks for work for some microseconds before it sleeps: steps follow each other.
 * Floating-point arithmetic is the default one whatever the caller has set (rounding, flushing of
 * small numbers), as results must not depend on that. */
#include <fenv.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "internal.h"

enum { LOOKS = 2000, STACK_BYTES = 8 << 20 };

struct team {
    pthread_mutex_t lock;
    pthread_cond_t wake, rest;
    _Atomic uint64_t turn; /* counts what was to be run */
    _Atomic int running;   /* threads that have not come back */
    int ending, threads, looks;
    kernel function;
    int64_t *argument;
    pthread_t *handles;
    struct member {
        team *team;
        int64_t number;
    } *members;
};

static void pause_once(void)
{
    __builtin_ia32_pause();
}

static void *work(void *given)
{
    struct member *me = given;
    team *team = me->team;
    uint64_t seen = 0;
    fesetenv(FE_DFL_ENV);
    prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL); /* short sleeps end on time */
    for (;;) {
        for (int k = 0; k < team->looks && atomic_load(&team->turn) == seen; k++)
            pause_once();
        pthread_mutex_lock(&team->lock);
        while (atomic_load(&team->turn) == seen)
            pthread_cond_wait(&team->wake, &team->lock);
        seen = atomic_load(&team->turn);
        int ending = team->ending;
        pthread_mutex_unlock(&team->lock);
        if (ending)
            return NULL;
        team->function(team->argument, me->number);
        pthread_mutex_lock(&team->lock);
        if (atomic_fetch_sub(&team->running, 1) == 1)
            pthread_cond_signal(&team->rest);
        pthread_mutex_unlock(&team->lock);
    }
}

/* Begin what `function` says on all threads but the caller's. */
static void begin(team *team, int ending)
{
    pthread_mutex_lock(&team->lock);
    team->ending = ending;
    atomic_store(&team->running, team->threads - 1);
    atomic_fetch_add(&team->turn, 1);
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->lock);
}

/* Run `function` on all threads, or on the caller's `alone`. */
void team_run(team *team, kernel function, int64_t *argument, int alone)
{
    fenv_t callers;
    int shared = team->threads > 1 && !alone;
    fegetenv(&callers);
    fesetenv(FE_DFL_ENV);
    if (shared) {
        team->function = function;
        team->argument = argument;
        begin(team, 0);
    }
    function(argument, 0);
    if (shared) {
        for (int k = 0; k < team->looks && atomic_load(&team->running); k++)
            pause_once();
        pthread_mutex_lock(&team->lock);
        while (atomic_load(&team->running))
            pthread_cond_wait(&team->rest, &team->lock);
        pthread_mutex_unlock(&team->lock);
    }
    fesetenv(&callers);
}

static int start(team *team)
{
    pthread_attr_t how;
    pthread_attr_init(&how);
    pthread_attr_setstacksize(&how, STACK_BYTES);
    int wanted = team->threads, failed = 0;
    for (int k = 1; k < wanted && !failed; k++) {
        team->members[k] = (struct member){team, k};
        failed = pthread_create(&team->handles[k], &how, work, &team->members[k]);
        team->threads = failed ? k : k + 1; /* those that are there */
    }
    team->threads = failed ? team->threads : wanted;
    pthread_attr_destroy(&how);
    return failed ? fail(DLCNET_SYSTEM, "%s: the system gives no %d threads; ask for fewer",
                         MODEL.name, wanted)
                  : DLCNET_OK;
}

int team_open(team **made, int threads)
{
    team *team = calloc(1, sizeof *team);
    if (team) {
        team->handles = calloc((size_t)threads, sizeof *team->handles);
        team->members = calloc((size_t)threads, sizeof *team->members);
    }
    if (!team || !team->handles || !team->members) {
        if (team) {
            free(team->handles);
            free(team->members);
        }
        free(team);
        return fail(DLCNET_NO_MEMORY, "%s: no memory for %d threads", MODEL.name, threads);
    }
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->wake, NULL);
    pthread_cond_init(&team->rest, NULL);
    team->threads = threads;
    team->looks = threads > available_cores() ? 0 : LOOKS;
    *made = team;
    return start(team);
}

void team_close(team *team)
{
    if (!team)
        return;
    begin(team, 1);
    for (int k = 1; k < team->threads; k++)
        pthread_join(team->handles[k], NULL);
    pthread_cond_destroy(&team->wake);
    pthread_cond_destroy(&team->rest);
    pthread_mutex_destroy(&team->lock);
    free(team->handles);
    free(team->members);
    free(team);
}
