/* Handles: freed in any order, shared by threads, used after a fork. */
#include "check.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 8, EACH = 500, TOTAL = THREADS * EACH };

/* How often each seq was given out by an append, and delivered by a stream. One thread counts at a time. */
static int appended[TOTAL + 1], delivered[TOTAL + 1];
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;

static void count(int *counts, unsigned long long seq)
{
    CHECK(seq >= 1 && seq <= TOTAL);
    CHECK(pthread_mutex_lock(&counting) == 0);
    counts[seq]++;
    CHECK(pthread_mutex_unlock(&counting) == 0);
}

static void *append_each(void *pool)
{
    plsm_receipt_t receipt;
    for (int i = 0; i < EACH; i++) {
        const uint8_t *json = (const uint8_t *)"{\"some\":\"text\"}";
        CHECK(plsm_pool_append((plsm_pool_t *)pool, json, PLSM_TO_NUL, NULL, 0, 0, &receipt, NULL) == 0);
        count(appended, receipt.seq);
    }
    return NULL;
}

static void *read_each(void *stream)
{
    plsm_buf_t message = {NULL, 0};
    while (plsm_stream_next((plsm_stream_t *)stream, &message, NULL) == 1) {
        char start[40] = {0};
        unsigned long long seq = 0;
        memcpy(start, message.data, 39);
        CHECK(sscanf(start, "{\"seq\":%llu,", &seq) == 1);
        count(delivered, seq);
        plsm_buf_free(&message);
    }
    return NULL;
}

/* Eight writers on one pool handle and eight readers on one stream: every seq is given out once and delivered once. */
static void threads_share_a_pool_and_a_stream(plsm_client_t *client)
{
    plsm_pool_t *pool = pool_of(client, "threads", 1 << 20);
    plsm_stream_t *stream = NULL;
    pthread_t writers[THREADS], readers[THREADS];
    CHECK(plsm_stream_open(pool, 0, 0, TOTAL, 1, 0, 0, &stream, NULL) == 0);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&readers[i], NULL, read_each, stream) == 0);
        CHECK(pthread_create(&writers[i], NULL, append_each, pool) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(writers[i], NULL) == 0);
        CHECK(pthread_join(readers[i], NULL) == 0);
    }
    for (int seq = 1; seq <= TOTAL; seq++) CHECK(appended[seq] == 1 && delivered[seq] == 1);
    plsm_stream_free(stream);
    plsm_pool_free(pool);
}

static size_t count_messages(plsm_stream_t *stream)
{
    size_t count = 0;
    plsm_buf_t message = {NULL, 0};
    while (plsm_stream_next(stream, &message, NULL) == 1) {
        plsm_buf_free(&message);
        count++;
    }
    return count;
}

/* Every order in which a client, a pool, a stream, a buffer and an error can be freed. */
static void handles_are_freed_in_any_order(const char *dir)
{
    for (int order = 0; order < 120; order++) {
        plsm_client_t *client = client_of(dir);
        plsm_pool_t *pool = NULL, *none = NULL;
        plsm_stream_t *stream = NULL;
        plsm_buf_t message = {NULL, 0};
        plsm_error_t *error = NULL;
        CHECK(plsm_pool_open_or_create(client, "order", 0, &pool, NULL) == 0);
        append(pool, "{}");
        CHECK(plsm_stream_open(pool, 0, 0, 0, 0, 0, 1, &stream, NULL) == 0);
        CHECK(plsm_stream_next(stream, &message, NULL) == 1);
        CHECK(plsm_pool_open(client, "none", &none, &error) == -1);
        int left[] = {0, 1, 2, 3, 4}, code = order;
        for (int n = 5; n > 0; n--) {
            int pick = code % n, what = left[pick];
            code /= n;
            for (int i = pick; i < n - 1; i++) left[i] = left[i + 1];
            switch (what) {
            case 0: plsm_client_free(client); break;
            case 1: plsm_pool_free(pool); break;
            case 2: plsm_stream_free(stream); break;
            case 3: plsm_buf_free(&message); plsm_buf_free(&message); break;
            default: plsm_error_free(error);
            }
        }
    }
}

static void a_stream_outlives_its_pool_and_client(const char *dir)
{
    plsm_client_t *client = client_of(dir);
    plsm_pool_t *pool = pool_of(client, "outlived", 0);
    plsm_stream_t *stream = NULL;
    plsm_buf_t message;
    plsm_client_free(client);
    append(pool, "{}");
    CHECK(plsm_stream_open(pool, 0, 0, 0, 0, 0, 1, &stream, NULL) == 0);
    plsm_pool_free(pool);
    CHECK(plsm_stream_next(stream, &message, NULL) == 1);
    plsm_stream_free(stream);
    CHECK(begins_with(&message, "{\"seq\":1,"));
    plsm_buf_free(&message);
}

static void a_forked_child_goes_on(plsm_client_t *client)
{
    plsm_pool_t *pool = pool_of(client, "fork", 0);
    plsm_stream_t *stream = NULL;
    append(pool, "{\"by\":\"parent\"}");
    CHECK(plsm_stream_open(pool, 0, 0, 2, 1, 5000, 1, &stream, NULL) == 0);
    int fd = -1;
    CHECK(plsm_stream_fd(stream, &fd, NULL) == 0 && fd >= 0);
    pid_t child = fork();
    if (child == 0) {
        plsm_error_t *error = NULL;
        CHECK_FAILS(plsm_stream_fd(stream, &fd, &error), error, PLSM_ERR_USAGE, "forked");
        plsm_error_free(error);
        append(pool, "{\"by\":\"child\"}");
        plsm_stream_t *own = NULL;
        CHECK(plsm_stream_open(pool, 0, 0, 0, 0, 0, 0, &own, NULL) == 0);
        CHECK(plsm_stream_fd(own, &fd, NULL) == 0 && fd >= 0);
        plsm_stream_free(own);
        _exit(count_messages(stream) == 2 ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && count_messages(stream) == 2);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    append(pool, "{\"by\":\"parent\"}");
    plsm_stream_free(stream);
    plsm_pool_free(pool);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    plsm_client_t *client = client_of(argv[1]);
    CHECK(plsm_abi_version() == PLSM_ABI_VERSION && strchr(plsm_version(), '.') != NULL);
    threads_share_a_pool_and_a_stream(client);
    handles_are_freed_in_any_order(argv[1]);
    a_stream_outlives_its_pool_and_client(argv[1]);
    a_forked_child_goes_on(client);
    plsm_client_free(client);
    return 0;
}
