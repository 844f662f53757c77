/* Handles: freed in any order, shared by threads, used after a fork. */
#include "check.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, EACH = 500 };

static void *append_many(void *pool)
{
    for (int i = 0; i < EACH; i++) append((plsm_pool_t *)pool, "{\"some\":\"text\"}");
    return NULL;
}

static void *count_messages(void *stream)
{
    size_t count = 0;
    plsm_buf_t message = {NULL, 0};
    while (plsm_stream_next((plsm_stream_t *)stream, &message, NULL) == 1) {
        plsm_buf_free(&message);
        count++;
    }
    return (void *)count;
}

static void threads_share_a_pool_and_a_stream(plsm_client_t *client)
{
    plsm_pool_t *pool = pool_of(client, "threads", 1 << 20);
    plsm_stream_t *stream = NULL;
    pthread_t writers[THREADS], readers[THREADS];
    size_t total = 0;
    CHECK(plsm_stream_open(pool, 0, 0, THREADS * EACH, 1, 0, 0, &stream, NULL) == 0);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&readers[i], NULL, count_messages, stream) == 0);
        CHECK(pthread_create(&writers[i], NULL, append_many, pool) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *count = NULL;
        CHECK(pthread_join(writers[i], NULL) == 0);
        CHECK(pthread_join(readers[i], &count) == 0);
        total += (size_t)count;
    }
    CHECK(total == THREADS * EACH);
    plsm_stream_free(stream);
    plsm_pool_free(pool);
}

static void a_stream_outlives_its_pool_and_client(const char *dir)
{
    plsm_client_t *client = client_of(dir);
    plsm_pool_t *pool = pool_of(client, "order", 0);
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
        _exit(count_messages(stream) == (void *)2 ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && count_messages(stream) == (void *)2);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    append(pool, "{\"by\":\"parent\"}");
    plsm_stream_free(stream);
    plsm_pool_free(pool);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    plsm_client_t *client = client_of(argv[1]);
    CHECK(plsm_abi_version() >= PLSM_ABI_VERSION && strchr(plsm_version(), '.') != NULL);
    threads_share_a_pool_and_a_stream(client);
    a_stream_outlives_its_pool_and_client(argv[1]);
    a_forked_child_goes_on(client);
    plsm_client_free(client);
    return 0;
}
