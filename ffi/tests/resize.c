/* Pools that get another size under their streams and handles. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { SIZES = 4, BUSY = 20000, RESIZES = 8 };
static const char *const sizes[SIZES] = {"3M", "2M", "6M", "4M"};
static const char *pool_dir;

static void hangs(int number)
{
    static const char text[] = "resize.c hangs\n";
    (void)number;
    if (write(2, text, sizeof text - 1) < 0) _exit(2);
    _exit(1);
}

/* By the command, as an operator would. */
static void resize(const char *name, int round)
{
    char line[8192];
    const char *command = getenv("PLASMITE_BIN");
    CHECK(command != NULL);
    snprintf(line, sizeof line, "'%s' --dir '%s' pool resize %s --size %s > /dev/null", command, pool_dir, name,
             sizes[round % SIZES]);
    CHECK(system(line) == 0);
}

static void append_anew(plsm_client_t *client, const char *name)
{
    plsm_pool_t *pool = NULL;
    CHECK(plsm_pool_open(client, name, &pool, NULL) == 0);
    append(pool, "{}");
    plsm_pool_free(pool);
}

static unsigned long seq_of(const char *envelope)
{
    unsigned long seq = 0;
    CHECK(sscanf(envelope, "{\"seq\":%lu,", &seq) == 1 && seq != 0);
    return seq;
}

/* How a stream is read. */
enum way { NEXT, READ, SPIN, POLL, WAYS };

struct reader {
    plsm_stream_t *stream;
    enum way way;
    unsigned long first, last;
    int waiting;
};

static void is_next(struct reader *r, unsigned long *seq, unsigned long got)
{
    if (got != *seq) fprintf(stderr, "way %d: %lu instead of %lu\n", (int)r->way, got, *seq);
    CHECK(got == *seq);
    (*seq)++;
}

/* Reads the messages from `first` to `last`, each once and in order. */
static void *read_all(void *argument)
{
    struct reader *r = (struct reader *)argument;
    plsm_buf_t buf = {NULL, 0};
    plsm_error_t *error = NULL;
    int fd = -1;
    if (r->way == SPIN) CHECK(plsm_stream_set_spin(r->stream, 20000, NULL) == 0);
    if (r->way == POLL) CHECK(plsm_stream_fd(r->stream, &fd, NULL) == 0);
    __atomic_store_n(&r->waiting, 1, __ATOMIC_SEQ_CST);
    for (unsigned long seq = r->first; seq <= r->last;) {
        int code;
        if (r->way == NEXT || r->way == SPIN) {
            code = plsm_stream_next(r->stream, &buf, &error);
        } else {
            struct pollfd poll_fd = {fd, POLLIN, 0};
            if (fd >= 0) CHECK(poll(&poll_fd, 1, 60000) == 1);
            code = plsm_stream_read(r->stream, 100, 0, fd < 0 ? UINT64_MAX : 0, &buf, &error);
        }
        if (code == -1) fprintf(stderr, "way %d: %s\n", (int)r->way, error->message);
        if (code == PLSM_STREAM_AGAIN) continue;
        CHECK(code == PLSM_STREAM_MESSAGE);
        for (const char *line = (const char *)buf.data; line != NULL && *line != 0;) {
            is_next(r, &seq, seq_of(line));
            line = strchr(line, '\n');
            if (line != NULL) line++;
        }
        plsm_buf_free(&buf);
    }
    return NULL;
}

static void start(struct reader *r, plsm_pool_t *pool, enum way way, unsigned long first, unsigned long last,
                  pthread_t *thread)
{
    plsm_stream_options_t o;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    o.has_since = 1;
    o.since_seq = first;
    o.gap_policy = PLSM_GAP_ERROR;
    memset(r, 0, sizeof *r);
    r->way = way;
    r->first = first;
    r->last = last;
    CHECK(plsm_stream_open_ex(pool, &o, &r->stream, NULL) == 0);
    CHECK(pthread_create(thread, NULL, read_all, r) == 0);
    while (!__atomic_load_n(&r->waiting, __ATOMIC_SEQ_CST)) usleep(1000);
}

/* Streams that wait while the pool is resized, once and several times before the next message comes. */
static void waiting_streams_go_on(plsm_client_t *client)
{
    plsm_pool_t *pool = pool_of(client, "waiting", 1 << 20);
    struct reader readers[WAYS];
    pthread_t threads[WAYS];
    append(pool, "{}");
    for (int way = 0; way < WAYS; way++) start(&readers[way], pool, (enum way)way, 2, 5, &threads[way]);
    plsm_pool_free(pool);
    usleep(50000);
    for (int round = 0; round < 4; round++) {
        for (int times = 0; times <= round; times++) resize("waiting", round + times);
        usleep(round * 30000);
        append_anew(client, "waiting");
    }
    for (int way = 0; way < WAYS; way++) {
        CHECK(pthread_join(threads[way], NULL) == 0);
        plsm_stream_free(readers[way].stream);
    }
}

static plsm_client_t *writers_client;
/* How many resizes have begun beside the writer: each has a part of the messages, whatever the speed of either. */
static int begun;

static void *write_all(void *argument)
{
    plsm_pool_t *pool = NULL;
    plsm_error_t *error = NULL;
    (void)argument;
    CHECK(plsm_pool_open(writers_client, "busy", &pool, NULL) == 0);
    for (int n = 0; n < BUSY;) {
        while (__atomic_load_n(&begun, __ATOMIC_SEQ_CST) <= n / (BUSY / RESIZES)) usleep(500);
        int code = plsm_pool_append(pool, (const uint8_t *)"{}", 2, NULL, 0, 0, NULL, &error);
        if (code == 0) {
            n++;
            continue;
        }
        /* What the header says to do. */
        CHECK(error->kind == PLSM_ERR_NOT_FOUND && strstr(error->message, "resized") != NULL);
        plsm_error_free(error);
        plsm_pool_free(pool);
        CHECK(plsm_pool_open(writers_client, "busy", &pool, NULL) == 0);
    }
    plsm_pool_free(pool);
    return NULL;
}

static void busy_streams_go_on(plsm_client_t *client)
{
    plsm_pool_t *pool = pool_of(client, "busy", 4 << 20);
    struct reader readers[WAYS];
    pthread_t threads[WAYS], writer;
    writers_client = client;
    for (int way = 0; way < WAYS; way++) start(&readers[way], pool, (enum way)way, 1, BUSY + 1, &threads[way]);
    plsm_pool_free(pool);
    CHECK(pthread_create(&writer, NULL, write_all, NULL) == 0);
    for (int round = 0; round < RESIZES; round++) {
        __atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
        resize("busy", round);
    }
    CHECK(pthread_join(writer, NULL) == 0);
    resize("busy", 0);
    append_anew(client, "busy");
    for (int way = 0; way < WAYS; way++) {
        CHECK(pthread_join(threads[way], NULL) == 0);
        plsm_stream_free(readers[way].stream);
    }
}

static int is_readable(int fd, int within_ms)
{
    struct pollfd poll_fd = {fd, POLLIN, 0};
    return poll(&poll_fd, 1, within_ms) == 1;
}

/* An event loop may not be told for ever that there is something. */
static void a_descriptor_is_quiet_again_after_a_resize(plsm_client_t *client)
{
    plsm_pool_t *pool = pool_of(client, "polled", 1 << 20);
    plsm_stream_t *streams[2];
    plsm_buf_t lines;
    int fds[2];
    for (int i = 0; i < 2; i++) {
        CHECK(plsm_stream_open(pool, 1, 1, 0, 0, 0, 0, &streams[i], NULL) == 0);
        CHECK(plsm_stream_fd(streams[i], &fds[i], NULL) == 0);
        CHECK(plsm_stream_read(streams[i], 0, 0, 0, &lines, NULL) == PLSM_STREAM_AGAIN);
    }
    plsm_pool_free(pool);
    for (int round = 0; round < 6; round++) {
        resize("polled", round);
        for (int i = 0; i < 2; i++) {
            CHECK(plsm_stream_read(streams[i], 0, 0, 0, &lines, NULL) == PLSM_STREAM_AGAIN);
            CHECK(!is_readable(fds[i], 150));
        }
        append_anew(client, "polled");
        /* One of them sleeps through the next resize. */
        for (int i = 0; i < 2 - round % 2; i++) {
            CHECK(is_readable(fds[i], 60000));
            CHECK(plsm_stream_read(streams[i], 0, 0, 0, &lines, NULL) == PLSM_STREAM_MESSAGE);
            plsm_buf_free(&lines);
            CHECK(plsm_stream_read(streams[i], 0, 0, 0, &lines, NULL) == PLSM_STREAM_AGAIN);
        }
        if (round % 2 == 1) {
            CHECK(plsm_stream_read(streams[1], 0, 0, 0, &lines, NULL) == PLSM_STREAM_MESSAGE);
            plsm_buf_free(&lines);
        }
    }
    plsm_error_t *error = NULL;
    for (int i = 0; i < 2; i++) CHECK(plsm_stream_read(streams[i], 0, 0, 0, &lines, NULL) == PLSM_STREAM_AGAIN);
    CHECK(plsm_pool_delete(client, "polled", NULL) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK(is_readable(fds[i], 60000));
        CHECK_FAILS(plsm_stream_read(streams[i], 0, 0, 0, &lines, &error), error, PLSM_ERR_NOT_FOUND, "deleted");
        plsm_error_free(error);
        plsm_stream_free(streams[i]);
    }
}

static void a_handle_says_that_it_has_to_be_opened_again(plsm_client_t *client)
{
    plsm_pool_t *pool = pool_of(client, "handle", 1 << 20);
    plsm_buf_t buf;
    plsm_stream_t *stream = NULL;
    plsm_error_t *errors[6] = {NULL, NULL, NULL, NULL, NULL, NULL};
    append(pool, "{}");
    resize("handle", 0);
    CHECK(plsm_pool_append(pool, (const uint8_t *)"{}", 2, NULL, 0, 0, NULL, &errors[0]) == -1);
    CHECK(plsm_pool_append(pool, (const uint8_t *)"{}", 2, NULL, 0, PLSM_DURABILITY_FLUSH, NULL, &errors[1]) == -1);
    CHECK(plsm_pool_get_json(pool, 1, &buf, &errors[2]) == -1);
    CHECK(plsm_pool_info_json(pool, &buf, &errors[3]) == -1);
    CHECK(plsm_pool_wait(pool, 1, 0, 0, &errors[4]) == -1);
    CHECK(plsm_stream_open(pool, 0, 0, 0, 0, 0, 0, &stream, &errors[5]) == -1);
    for (int i = 0; i < 6; i++) {
        CHECK(errors[i]->kind == PLSM_ERR_NOT_FOUND && errors[i]->path != NULL);
        CHECK(strstr(errors[i]->message, "resized") != NULL && strstr(errors[i]->message, "open it again") != NULL);
        plsm_error_free(errors[i]);
    }
    plsm_pool_free(pool);
    append_anew(client, "handle");
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    pool_dir = argv[1];
    signal(SIGALRM, hangs);
    alarm(240);
    plsm_client_t *client = client_of(pool_dir);
    a_handle_says_that_it_has_to_be_opened_again(client);
    a_descriptor_is_quiet_again_after_a_resize(client);
    waiting_streams_go_on(client);
    busy_streams_go_on(client);
    plsm_client_free(client);
    return 0;
}
