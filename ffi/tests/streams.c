/* Streams: where they start, when they end, what they wait for. */
#include "check.h"

#include <poll.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

static plsm_stream_options_t options(void)
{
    plsm_stream_options_t options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.has_timeout = 1;
    return options;
}

static plsm_stream_t *stream_of(plsm_pool_t *pool, const plsm_stream_options_t *options)
{
    plsm_stream_t *stream = NULL;
    CHECK(plsm_stream_open_ex(pool, options, &stream, NULL) == 0 && stream != NULL);
    return stream;
}

/* The seq of the next message; 0 at the end. */
static unsigned long next_seq(plsm_stream_t *stream)
{
    plsm_buf_t message = {NULL, 0};
    plsm_error_t *error = NULL;
    unsigned long seq = 0;
    int code = plsm_stream_next(stream, &message, &error);
    CHECK(error == NULL && (code == 0 || code == 1));
    if (code == 1) {
        char start[40] = {0};
        memcpy(start, message.data, message.len < 39 ? message.len : 39);
        CHECK(sscanf(start, "{\"seq\":%lu,", &seq) == 1 && seq != 0);
    } else {
        CHECK(message.data == NULL && message.len == 0);
    }
    plsm_buf_free(&message);
    return seq;
}

static void the_start_and_the_end(plsm_pool_t *pool)
{
    plsm_stream_options_t o = options();
    plsm_stream_t *stream = stream_of(pool, &o);
    for (unsigned long seq = 1; seq <= 5; seq++) CHECK(next_seq(stream) == seq);
    CHECK(next_seq(stream) == 0 && next_seq(stream) == 0);
    append(pool, "{\"n\":6}");
    CHECK(next_seq(stream) == 6);
    plsm_stream_free(stream);

    o.has_since = 1;
    stream = stream_of(pool, &o);
    CHECK(next_seq(stream) == 1);
    plsm_stream_free(stream);
    o.since_seq = 4;
    o.has_max = 1;
    o.max_messages = 2;
    stream = stream_of(pool, &o);
    CHECK(next_seq(stream) == 4 && next_seq(stream) == 5 && next_seq(stream) == 0);
    plsm_stream_free(stream);
    o.since_seq = 100;
    stream = stream_of(pool, &o);
    CHECK(next_seq(stream) == 0);
    plsm_stream_free(stream);

    CHECK(plsm_stream_open(pool, 3, 1, 1, 1, 0, 0, &stream, NULL) == 0);
    CHECK(next_seq(stream) == 3 && next_seq(stream) == 0);
    plsm_stream_free(stream);
    /* Without a timeout, but with nothing to wait for. */
    CHECK(plsm_stream_open(pool, 0, 0, 0, 1, 0, 0, &stream, NULL) == 0);
    CHECK(next_seq(stream) == 0);
    plsm_stream_free(stream);
}

static double now(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void a_timeout_is_for_the_next_message(plsm_pool_t *pool)
{
    plsm_stream_options_t o = options();
    o.timeout_ms = 150;
    o.has_since = 1;
    o.since_seq = 6;
    plsm_stream_t *stream = stream_of(pool, &o);
    struct timespec longer = {0, 200000000};
    nanosleep(&longer, NULL);
    CHECK(next_seq(stream) == 6);
    double start = now();
    CHECK(next_seq(stream) == 0);
    double took = now() - start;
    CHECK(took > 0.14 && took < 2.0);
    plsm_stream_free(stream);
}

static void a_gap_is_told_once_if_asked_for(plsm_client_t *client)
{
    plsm_pool_t *pool = pool_of(client, "ring", 8192);
    plsm_stream_options_t o = options();
    plsm_buf_t buf;
    plsm_error_t *error = NULL;
    plsm_stream_t *goes_on = stream_of(pool, &o), *stream = NULL;
    o.gap_policy = PLSM_GAP_ERROR;
    const char *tags[] = {"none"};
    CHECK(plsm_stream_open_tagged(pool, &o, tags, 1, &stream, NULL) == 0);
    for (int i = 0; i < 500; i++) append(pool, "{\"text\":\"as long as it takes to fill the ring\"}");
    CHECK_FAILS(plsm_stream_next(stream, &buf, &error), error, PLSM_ERR_RETENTION_GAP, "overwritten");
    CHECK(error->has_seq && error->seq == 1);
    plsm_error_free(error);
    CHECK(next_seq(stream) == 0);
    CHECK(next_seq(goes_on) > 400);
    plsm_stream_free(stream);
    plsm_stream_free(goes_on);
    plsm_pool_free(pool);
}

static void options_that_can_not_be_are_refused(plsm_pool_t *pool)
{
    struct { plsm_stream_options_t known; uint64_t later[4]; } larger;
    plsm_stream_options_t o = options();
    plsm_stream_t *stream = NULL;
    plsm_error_t *error = NULL;
    CHECK(sizeof o == 48);
    o.struct_size = 47;
    CHECK_FAILS(plsm_stream_open_ex(pool, &o, &stream, &error), error, PLSM_ERR_USAGE, "struct_size=47");
    plsm_error_free(error);
    o = options();
    o.gap_policy = 2;
    CHECK_FAILS(plsm_stream_open_ex(pool, &o, &stream, &error), error, PLSM_ERR_USAGE, "gap_policy=2");
    plsm_error_free(error);
    o = options();
    o.reserved = 1;
    CHECK_FAILS(plsm_stream_open_ex(pool, &o, &stream, &error), error, PLSM_ERR_USAGE, "reserved=1");
    plsm_error_free(error);
    memset(&larger, 0xff, sizeof larger);
    larger.known = options();
    larger.known.struct_size = sizeof larger;
    CHECK(plsm_stream_open_ex(pool, &larger.known, &stream, &error) == 0);
    CHECK(next_seq(stream) == 1);
    plsm_stream_free(stream);
}

static void tags_are_all_wanted(plsm_client_t *client)
{
    plsm_pool_t *pool = pool_of(client, "tagged", 0);
    const char *ab[] = {"a", "b"}, *a[] = {"a"};
    plsm_buf_t message;
    plsm_stream_t *stream = NULL;
    plsm_stream_options_t o = options();
    CHECK(plsm_pool_append_json(pool, (const uint8_t *)"{}", 2, a, 1, 0, &message, NULL) == 0);
    plsm_buf_free(&message);
    CHECK(plsm_pool_append_json(pool, (const uint8_t *)"{}", 2, ab, 2, 0, &message, NULL) == 0);
    plsm_buf_free(&message);
    append(pool, "{}");
    CHECK(plsm_stream_open_tagged(pool, &o, ab, 2, &stream, NULL) == 0);
    CHECK(next_seq(stream) == 2 && next_seq(stream) == 0);
    plsm_stream_free(stream);
    plsm_pool_free(pool);
}

static void a_read_takes_many(plsm_client_t *client)
{
    plsm_pool_t *pool = pool_of(client, "batch", 8192);
    plsm_stream_options_t o = options();
    plsm_buf_t lines = {NULL, 0};
    plsm_error_t *error = NULL;
    const char *text = "{\"n\":1}\n{\"n\" : 2}{\n\"n\":3}\n";
    CHECK(plsm_pool_append_batch(pool, (const uint8_t *)text, strlen(text), NULL, 0, 0, &lines, &error) == 0);
    CHECK(begins_with(&lines, "{\"seq\":1,") && ends_in(&lines, "\"data\":{\"n\":3}}\n"));
    plsm_buf_free(&lines);
    CHECK_FAILS(plsm_pool_append_batch(pool, (const uint8_t *)"{} {} [", 7, NULL, 0, 0, &lines, &error), error,
                PLSM_ERR_USAGE, "data must be a JSON object");
    CHECK(error->has_offset && error->offset == 6);
    plsm_error_free(error);
    CHECK_FAILS(plsm_pool_append_batch(pool, (const uint8_t *)"{} {", 4, NULL, 0, 0, &lines, &error), error,
                PLSM_ERR_USAGE, "unfinished");
    plsm_error_free(error);
    text = "[{\"n\":4}, {}]";
    CHECK(plsm_pool_append_batch(pool, (const uint8_t *)text, PLSM_TO_NUL, NULL, 0, 0, &lines, &error) == 0);
    CHECK(begins_with(&lines, "{\"seq\":4,") && ends_in(&lines, "\"data\":{}}\n"));
    plsm_buf_free(&lines);
    CHECK_FAILS(plsm_pool_append_batch(pool, (const uint8_t *)"[{},7]", 6, NULL, 0, 0, &lines, &error), error,
                PLSM_ERR_USAGE, "not a number");
    CHECK(error->has_offset && error->offset == 4 && lines.data == NULL);
    plsm_error_free(error);
    CHECK(plsm_pool_append_batch(pool, (const uint8_t *)"", 0, NULL, 0, 0, &lines, &error) == 0 && lines.len == 0);
    CHECK(plsm_pool_wait(pool, 4, 0, 0, NULL) == 1 && plsm_pool_wait(pool, 5, 10, 1, NULL) == 0);

    o.gap_policy = PLSM_GAP_ERROR;
    plsm_stream_t *stream = stream_of(pool, &o);
    CHECK(plsm_stream_read(stream, 2, 0, 0, &lines, &error) == PLSM_STREAM_MESSAGE);
    CHECK(ends_in(&lines, "\"data\":{\"n\":2}}\n"));
    plsm_buf_free(&lines);
    CHECK(plsm_stream_read(stream, 0, 1, 0, &lines, &error) == PLSM_STREAM_MESSAGE);
    CHECK(begins_with(&lines, "{\"seq\":3,") && ends_in(&lines, "\"data\":{\"n\":3}}\n"));
    plsm_buf_free(&lines);
    CHECK(plsm_stream_read(stream, 0, 0, 0, &lines, &error) == PLSM_STREAM_MESSAGE);
    CHECK(begins_with(&lines, "{\"seq\":4,") && ends_in(&lines, "\"data\":{}}\n"));
    plsm_buf_free(&lines);
    CHECK(plsm_stream_read(stream, 0, 0, 20, &lines, &error) == PLSM_STREAM_AGAIN && lines.data == NULL);
    for (int i = 0; i < 500; i++) append(pool, "{\"text\":\"as long as it takes to fill the ring\"}");
    CHECK_FAILS(plsm_stream_read(stream, 0, 0, 0, &lines, &error), error, PLSM_ERR_RETENTION_GAP, "");
    CHECK(error->seq == 6);
    plsm_error_free(error);
    CHECK(plsm_stream_read(stream, 0, 0, UINT64_MAX, &lines, &error) == PLSM_STREAM_END);
    plsm_stream_free(stream);
    plsm_pool_free(pool);
}

static int is_readable(int fd, int within_ms)
{
    struct pollfd poll_fd = {fd, POLLIN, 0};
    return poll(&poll_fd, 1, within_ms) == 1;
}

static void a_descriptor_tells_when_to_read(plsm_client_t *client)
{
    plsm_pool_t *pool = pool_of(client, "polled", 0);
    plsm_stream_options_t o = options();
    plsm_stream_t *stream = stream_of(pool, &o);
    plsm_buf_t lines;
    plsm_error_t *error = NULL;
    int fd = -1, again = -1;
    CHECK(plsm_stream_fd(stream, &fd, NULL) == 0 && fd >= 0);
    CHECK(plsm_stream_fd(stream, &again, NULL) == 0 && again == fd);
    for (int i = 0; i < 100; i++) {
        CHECK(is_readable(fd, 0));
        CHECK(plsm_stream_read(stream, 0, 0, 0, &lines, NULL) == PLSM_STREAM_AGAIN);
        CHECK(!is_readable(fd, i == 0 ? 150 : 0));
        append(pool, "{}");
        CHECK(is_readable(fd, 5000));
        CHECK(plsm_stream_read(stream, 0, 0, 0, &lines, NULL) == PLSM_STREAM_MESSAGE);
        plsm_buf_free(&lines);
    }
    CHECK(plsm_stream_read(stream, 0, 0, 0, &lines, NULL) == PLSM_STREAM_AGAIN);
    CHECK(plsm_pool_delete(client, "polled", NULL) == 0);
    CHECK(is_readable(fd, 5000));
    CHECK_FAILS(plsm_stream_read(stream, 0, 0, 0, &lines, &error), error, PLSM_ERR_NOT_FOUND, "deleted");
    plsm_error_free(error);
    plsm_stream_free(stream);
    plsm_pool_free(pool);
}

/* Ten streams of one pool, two of them opened by another handle, and one that wants a message far ahead. */
static void descriptors_of_one_pool_wake_together(plsm_client_t *client)
{
    plsm_pool_t *pool = pool_of(client, "many", 0), *other = NULL;
    plsm_stream_t *streams[10];
    plsm_stream_options_t o = options();
    plsm_buf_t lines;
    int fds[10];
    CHECK(plsm_pool_open(client, "many", &other, NULL) == 0);
    for (int i = 0; i < 10; i++) {
        o.has_since = i == 0;
        o.since_seq = 1000;
        streams[i] = stream_of(i < 8 ? pool : other, &o);
        CHECK(plsm_stream_fd(streams[i], &fds[i], NULL) == 0);
        CHECK(plsm_stream_read(streams[i], 0, 0, 0, &lines, NULL) == PLSM_STREAM_AGAIN);
    }
    plsm_pool_free(other);
    for (int round = 0; round < 50; round++) {
        append(pool, "{}");
        for (int i = 1; i < 10; i++) {
            CHECK(is_readable(fds[i], 5000));
            CHECK(plsm_stream_read(streams[i], 0, 0, 0, &lines, NULL) == PLSM_STREAM_MESSAGE);
            CHECK(ends_in(&lines, "\"data\":{}}\n"));
            plsm_buf_free(&lines);
            CHECK(plsm_stream_read(streams[i], 0, 0, 0, &lines, NULL) == PLSM_STREAM_AGAIN);
        }
        CHECK(!is_readable(fds[0], 0));
    }
    for (int i = 0; i < 10; i += 2) plsm_stream_free(streams[i]);
    append(pool, "{}");
    for (int i = 1; i < 10; i += 2) CHECK(is_readable(fds[i], 5000));
    for (int i = 1; i < 10; i += 2) plsm_stream_free(streams[i]);
    plsm_pool_free(pool);
}

static void a_descriptor_tells_of_a_file_that_was_removed(plsm_client_t *client, const char *dir)
{
    plsm_pool_t *pool = pool_of(client, "removed", 0);
    plsm_stream_options_t o = options();
    plsm_stream_t *stream = stream_of(pool, &o);
    plsm_buf_t lines;
    plsm_error_t *error = NULL;
    char path[4096];
    int fd = -1;
    CHECK(plsm_stream_fd(stream, &fd, NULL) == 0);
    CHECK(plsm_stream_read(stream, 0, 0, 0, &lines, NULL) == PLSM_STREAM_AGAIN);
    snprintf(path, sizeof path, "%s/removed.plasmite", dir);
    CHECK(remove(path) == 0);
    CHECK(is_readable(fd, 5000));
    CHECK_FAILS(plsm_stream_read(stream, 0, 0, 0, &lines, &error), error, PLSM_ERR_NOT_FOUND, "deleted");
    plsm_error_free(error);
    plsm_stream_free(stream);
    plsm_pool_free(pool);
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

/* Long after the wait began, whatever the handler asks of system calls. */
static void a_signal_handler_ends_an_idle_wait(plsm_client_t *client, int flags)
{
    plsm_pool_t *pool = pool_of(client, flags == 0 ? "idle" : "idle-restart", 0);
    struct sigaction action;
    struct itimerval later;
    memset(&action, 0, sizeof action);
    memset(&later, 0, sizeof later);
    action.sa_handler = count_signal;
    action.sa_flags = flags;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    later.it_value.tv_usec = later.it_interval.tv_usec = 300000;
    CHECK(setitimer(ITIMER_REAL, &later, NULL) == 0);
    CHECK(plsm_pool_wait(pool, 0, 0, 0, NULL) == 0);
    memset(&later, 0, sizeof later);
    CHECK(setitimer(ITIMER_REAL, &later, NULL) == 0);
    plsm_pool_free(pool);
}

static void a_signal_handler_ends_a_wait(plsm_client_t *client)
{
    plsm_pool_t *pool = pool_of(client, "signals", 0);
    plsm_stream_options_t o = options();
    o.has_timeout = 0;
    plsm_stream_t *stream = stream_of(pool, &o);
    plsm_buf_t lines;
    struct sigaction action;
    struct itimerval soon;
    memset(&action, 0, sizeof action);
    memset(&soon, 0, sizeof soon);
    action.sa_handler = count_signal;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    /* Again and again, for the case that the first one comes before the sleep. */
    soon.it_value.tv_usec = soon.it_interval.tv_usec = 50000;
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    CHECK(plsm_stream_read(stream, 0, 0, UINT64_MAX, &lines, NULL) == PLSM_STREAM_AGAIN && lines.data == NULL);
    CHECK(plsm_pool_wait(pool, 0, 0, 0, NULL) == 0);
    CHECK(signals >= 2);
    /* But not the wait of the other function, whose 0 is the end. */
    o.has_timeout = 1;
    o.timeout_ms = 300;
    plsm_stream_t *patient = stream_of(pool, &o);
    double start = now();
    CHECK(next_seq(patient) == 0 && now() - start > 0.29);
    memset(&soon, 0, sizeof soon);
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    plsm_stream_free(patient);
    plsm_stream_free(stream);
    plsm_pool_free(pool);
}

static void a_wait_may_spin_first(plsm_pool_t *pool)
{
    plsm_stream_options_t o = options();
    o.timeout_ms = 1;
    plsm_stream_t *stream = stream_of(pool, &o);
    CHECK(plsm_stream_set_spin(stream, 50 * 1000 * 1000, NULL) == 0);
    unsigned long last = 0;
    for (unsigned long seq; (seq = next_seq(stream)) != 0;) last = seq;
    CHECK(next_seq(stream) == 0); /* no longer than the time that was given, also when it does not spin again */
    append(pool, "{}");
    CHECK(next_seq(stream) == last + 1);
    CHECK(next_seq(stream) == 0);
    CHECK(plsm_stream_set_spin(stream, 0, NULL) == 0);
    CHECK(next_seq(stream) == 0);
    plsm_stream_free(stream);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    plsm_client_t *client = client_of(argv[1]);
    plsm_pool_t *pool = pool_of(client, "docs", 0);
    for (int i = 0; i < 5; i++) append(pool, "{}");
    the_start_and_the_end(pool);
    a_timeout_is_for_the_next_message(pool);
    options_that_can_not_be_are_refused(pool);
    a_gap_is_told_once_if_asked_for(client);
    tags_are_all_wanted(client);
    a_read_takes_many(client);
    a_descriptor_tells_when_to_read(client);
    descriptors_of_one_pool_wake_together(client);
    a_descriptor_tells_of_a_file_that_was_removed(client, argv[1]);
    a_signal_handler_ends_a_wait(client);
    a_signal_handler_ends_an_idle_wait(client, 0);
    a_signal_handler_ends_an_idle_wait(client, SA_RESTART);
    a_wait_may_spin_first(pool);
    plsm_pool_free(pool);
    plsm_client_free(client);
    return 0;
}
