/* Everything that a caller can get wrong gives its code and a message: ./misuse CHECKPOINT */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xmmintrin.h>

#include HEADER

static int wrong;

static void expect(const char *what, int wanted, int code)
{
    if (code == wanted && (code == DENSE_OK || strlen(dense_message()) > 8))
        return;
    fprintf(stderr, "%s: code %d, not %d: %s\n", what, code, wanted, dense_message());
    wrong++;
}

static float pictures[9][100];
static int32_t labels[9];

static dense_array array(const char *name, int dtype, const void *data, size_t bytes)
{
    dense_array made;
    made.name = name;
    made.dtype = dtype;
    made.data = data;
    made.bytes = bytes;
    return made;
}

static int step(dense_net *net, dense_array first, dense_array second, size_t count)
{
    dense_array both[2];
    both[0] = first;
    both[1] = second;
    return dense_step(net, both, count);
}

static void inputs(dense_net *net)
{
    dense_array image = array("image", DENSE_F32, pictures, 8 * 400);
    dense_array label = array("label", DENSE_I32, labels, 8 * 4);
    expect("a step", DENSE_OK, step(net, image, label, 2));
    expect("in another order", DENSE_OK, step(net, label, image, 2));
    expect("no network", DENSE_BAD_ARGUMENT, step(NULL, image, label, 2));
    expect("no inputs", DENSE_BAD_ARGUMENT, dense_step(net, NULL, 2));
    expect("one input", DENSE_BAD_ARGUMENT, step(net, image, label, 1));
    expect("none of two", DENSE_BAD_ARGUMENT, step(net, image, label, 0));
    expect("far too many", DENSE_BAD_ARGUMENT, step(net, image, label, (size_t)-1));
    expect("one twice", DENSE_BAD_ARGUMENT, step(net, image, image, 2));
    expect("an unknown one", DENSE_BAD_ARGUMENT,
           step(net, image, array("klass", DENSE_I32, labels, 32), 2));
    expect("no name", DENSE_BAD_ARGUMENT, step(net, image, array(NULL, DENSE_I32, labels, 32), 2));
    expect("another dtype", DENSE_BAD_ARGUMENT,
           step(net, image, array("label", DENSE_I64, labels, 32), 2));
    expect("no dtype", DENSE_BAD_ARGUMENT, step(net, image, array("label", -7, labels, 32), 2));
    expect("7 rows", DENSE_BAD_ARGUMENT, step(net, array("image", DENSE_F32, pictures, 7 * 400),
                                              array("label", DENSE_I32, labels, 28), 2));
    expect("half a row", DENSE_BAD_ARGUMENT,
           step(net, array("image", DENSE_F32, pictures, 8 * 400 - 4), label, 2));
    expect("other rows", DENSE_BAD_ARGUMENT,
           step(net, array("image", DENSE_F32, pictures, 7 * 400), label, 2));
    expect("no rows", DENSE_BAD_ARGUMENT, step(net, array("image", DENSE_F32, NULL, 0),
                                               array("label", DENSE_I32, NULL, 0), 2));
    expect("no data", DENSE_BAD_ARGUMENT, step(net, array("image", DENSE_F32, NULL, 8 * 400), label,
                                               2));
    labels[3] = 17;
    expect("an index outside", DENSE_FAULT, step(net, image, label, 2));
    labels[3] = 1;
    expect("a step after it", DENSE_OK, step(net, image, label, 2));
}

static void predictions(dense_net *net)
{
    static float scores[9][5];
    dense_array image = array("image", DENSE_F32, pictures, sizeof pictures);
    expect("9 rows", DENSE_OK, dense_predict(net, &image, 1, scores, sizeof scores));
    expect("room for 8", DENSE_BAD_ARGUMENT,
           dense_predict(net, &image, 1, scores, sizeof scores - sizeof *scores));
    expect("no room", DENSE_BAD_ARGUMENT, dense_predict(net, &image, 1, NULL, sizeof scores));
    image.bytes = 0;
    expect("no rows", DENSE_OK, dense_predict(net, &image, 1, scores, 0));
    image.bytes = (size_t)-400;
    expect("rows beyond memory", DENSE_BAD_ARGUMENT, dense_predict(net, &image, 1, scores, 20));
}

/* What the caller has set for its own arithmetic changes no result, and is there again. */
static void rounding(dense_net *net)
{
    static float scores[2][9][5];
    dense_array image = array("image", DENSE_F32, pictures, sizeof pictures);
    for (int i = 0; i < 9; i++)
        for (int k = 0; k < 100; k++)
            pictures[i][k] = (float)(i * k % 17) / 7.0f;
    expect("predict", DENSE_OK, dense_predict(net, &image, 1, scores[0], sizeof scores[0]));
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0xe040); /* towards zero, small numbers are zeros */
    expect("predict", DENSE_OK, dense_predict(net, &image, 1, scores[1], sizeof scores[1]));
    if ((_mm_getcsr() & 0xe040) != 0xe040 || memcmp(scores[0], scores[1], sizeof scores[0]) != 0) {
        fprintf(stderr, "the caller's arithmetic counts\n");
        wrong++;
    }
    _mm_setcsr(before);
}

static void values(dense_net *net, const char *path)
{
    float bias[5];
    double loss;
    dense_type type;
    dense_position at;
    int64_t order[4];
    expect("read", DENSE_OK, dense_read(net, "dense1.bias", bias, sizeof bias));
    expect("read too little", DENSE_BAD_ARGUMENT, dense_read(net, "dense1.bias", bias, 4));
    expect("read nothing", DENSE_BAD_ARGUMENT, dense_read(net, "dense", bias, 4));
    expect("read no name", DENSE_BAD_ARGUMENT, dense_read(net, NULL, bias, 4));
    expect("read nowhere", DENSE_BAD_ARGUMENT, dense_read(net, "dense1.bias", NULL, 20));
    expect("write", DENSE_OK, dense_write(net, "dense1.bias", bias, sizeof bias));
    expect("write nothing", DENSE_BAD_ARGUMENT, dense_write(net, "dense1.bias", NULL, 20));
    expect("metric", DENSE_OK, dense_metric(net, "loss", &loss));
    expect("no metric", DENSE_BAD_ARGUMENT, dense_metric(net, "los", &loss));
    expect("metric nowhere", DENSE_BAD_ARGUMENT, dense_metric(net, "loss", NULL));
    expect("describe", DENSE_OK, dense_describe(DENSE_INPUT, 0, &type));
    expect("a kind too many", DENSE_BAD_ARGUMENT, dense_describe(9, 0, &type));
    expect("a number too many", DENSE_BAD_ARGUMENT, dense_describe(DENSE_INPUT, 2, &type));
    expect("a number too few", DENSE_BAD_ARGUMENT, dense_describe(DENSE_VALUE, -1, &type));
    expect("describe nowhere", DENSE_BAD_ARGUMENT, dense_describe(DENSE_INPUT, 0, NULL));
    expect("where", DENSE_OK, dense_where(net, &at));
    expect("nowhere", DENSE_BAD_ARGUMENT, dense_where(net, NULL));
    expect("order", DENSE_OK, dense_order(0, 0, 4, order));
    expect("no order", DENSE_BAD_ARGUMENT, dense_order(0, 0, 4, NULL));
    expect("order of less than nothing", DENSE_BAD_ARGUMENT, dense_order(0, 0, -4, order));
    expect("order beyond memory", DENSE_NO_MEMORY, dense_order(0, 0, INT64_MAX, order));
    expect("load", DENSE_OK, dense_load(net, path));
    expect("load nothing", DENSE_BAD_ARGUMENT, dense_load(net, NULL));
    expect("load what is not there", DENSE_BAD_FILE, dense_load(net, "not there"));
    expect("load a folder", DENSE_BAD_FILE, dense_load(net, "/"));
    expect("load a device", DENSE_BAD_FILE, dense_load(net, "/dev/zero"));
    expect("save nowhere", DENSE_BAD_ARGUMENT, dense_save(net, NULL));
    expect("save in no folder", DENSE_SYSTEM, dense_save(net, "not there/x.safetensors"));
    expect("save over a folder", DENSE_SYSTEM, dense_save(net, "/"));
}

static void creations(void)
{
    dense_net *net;
    expect("create nowhere", DENSE_BAD_ARGUMENT, dense_create(NULL, DENSE_ABI, 1, NULL));
    expect("another ABI", DENSE_BAD_ARGUMENT, dense_create(&net, DENSE_ABI + 1, 1, NULL));
    expect("-1 threads", DENSE_BAD_ARGUMENT, dense_create(&net, DENSE_ABI, -1, NULL));
    expect("257 threads", DENSE_BAD_ARGUMENT, dense_create(&net, DENSE_ABI, 257, NULL));
    expect("no such set", DENSE_BAD_ARGUMENT, dense_create(&net, DENSE_ABI, 1, "sse9"));
    expect("destroy nothing", DENSE_OK, dense_destroy(NULL));
    expect("destroy what is none", DENSE_BAD_ARGUMENT, dense_destroy((dense_net *)pictures));
    expect("create", DENSE_OK, dense_create(&net, DENSE_ABI, 3, NULL));
    dense_net *old = net;
    expect("destroy", DENSE_OK, dense_destroy(net));
    expect("destroy again", DENSE_BAD_ARGUMENT, dense_destroy(old));
    expect("use after it", DENSE_BAD_ARGUMENT, dense_end_epoch(old));
}

static void in_a_child(dense_net *net)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(dense_end_epoch(net));
    waitpid(child, &status, 0);
    expect("use behind a fork", DENSE_BAD_ARGUMENT, WEXITSTATUS(status));
}

/* Without room for stacks of threads, in a process of its own. */
static void without_memory(void)
{
#ifndef __SANITIZE_ADDRESS__
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {1, 1};
        dense_net *net;
        setrlimit(RLIMIT_AS, &none);
        _exit(dense_create(&net, DENSE_ABI, 9, NULL));
    }
    waitpid(child, &status, 0);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    expect("no memory", code == DENSE_NO_MEMORY ? DENSE_NO_MEMORY : DENSE_SYSTEM, code);
#endif
}

/* A call is answered BUSY while another thread is in a long one, which it does not disturb. */
static atomic_int has_begun, is_over;

static void *predicts(void *given)
{
    static float rows[20000][100], scores[20000][5];
    dense_array image = array("image", DENSE_F32, rows, sizeof rows);
    int code = DENSE_BUSY;
    atomic_store(&has_begun, 1);
    while (code == DENSE_BUSY) /* it came while the other thread was asking */
        code = dense_predict((dense_net *)given, &image, 1, scores, sizeof scores);
    expect("a long prediction", DENSE_OK, code);
    atomic_store(&is_over, 1);
    return NULL;
}

static void while_busy(dense_net *net)
{
    long refused = 0, tries = 0;
    while (!refused && ++tries < 100) {
        pthread_t thread;
        atomic_store(&is_over, 0);
        atomic_store(&has_begun, 0);
        pthread_create(&thread, NULL, predicts, net);
        while (!atomic_load(&has_begun))
            sched_yield();
        while (!atomic_load(&is_over)) {
            double loss;
            refused += dense_metric(net, "loss", &loss) == DENSE_BUSY;
            sched_yield();
        }
        pthread_join(thread, NULL);
    }
    if (!refused) {
        fprintf(stderr, "no thread was ever told to wait\n");
        wrong++;
    }
}

enum { TURNS = 200 };

static void *steps(void *given)
{
    dense_net *net = (dense_net *)given;
    dense_array both[2];
    long done = 0;
    both[0] = array("image", DENSE_F32, pictures, 8 * 400);
    both[1] = array("label", DENSE_I32, labels, 8 * 4);
    for (int k = 0; k < TURNS; k++) {
        int code = dense_step(net, both, 2);
        if (code != DENSE_OK)
            expect("of two threads", DENSE_BUSY, code);
        done += code == DENSE_OK;
    }
    return (void *)done;
}

/* Two threads on one network, then one on each of two. */
static void at_once(dense_net *first, const char *path)
{
    dense_net *second;
    dense_position before, after;
    pthread_t threads[2];
    void *done[2];
    expect("another network", DENSE_OK, dense_create(&second, DENSE_ABI, 2, NULL));
    expect("its values", DENSE_OK, dense_load(second, path));
    for (int k = 0; k < 2; k++) {
        dense_where(first, &before);
        pthread_create(&threads[0], NULL, steps, first);
        pthread_create(&threads[1], NULL, steps, k ? second : first);
        pthread_join(threads[0], &done[0]);
        pthread_join(threads[1], &done[1]);
        dense_where(first, &after);
        if (after.step - before.step != (long)done[0] + (k ? 0 : (long)done[1])) {
            fprintf(stderr, "%lld steps are counted\n", (long long)(after.step - before.step));
            wrong++;
        }
    }
    expect("its end", DENSE_OK, dense_destroy(second));
}

int main(int argc, char **argv)
{
    dense_net *net;
    if (argc != 2)
        return 2;
    creations();
    expect("create", DENSE_OK, dense_create(&net, DENSE_ABI, 2, NULL));
    expect("load", DENSE_OK, dense_load(net, argv[1]));
    inputs(net);
    predictions(net);
    rounding(net);
    values(net, argv[1]);
    in_a_child(net);
    without_memory();
    while_busy(net);
    at_once(net, argv[1]);
    expect("destroy", DENSE_OK, dense_destroy(net));
    printf("%d wrong\n", wrong);
    return wrong != 0;
}
