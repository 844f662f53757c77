/* What happens to a pool's file under handles and streams that are in use, asleep or not. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLEEPERS = 3 };
static const char *const object = "{\"a\":1}";

static void hangs(int number)
{
    static const char text[] = "files.c hangs\n";
    (void)number;
    if (write(2, text, sizeof text - 1) < 0) _exit(2);
    _exit(1);
}

static void path_of(char *path, size_t size, const char *dir, const char *name)
{
    snprintf(path, size, "%s/%s.plasmite", dir, name);
}

/* A call that waits without an end, and the error that ends it. */
struct sleeper {
    plsm_pool_t *pool;
    plsm_stream_t *stream;
    int way, kind;
};

static void *sleep_until_it_fails(void *argument)
{
    struct sleeper *s = (struct sleeper *)argument;
    plsm_buf_t buf = {NULL, 0};
    plsm_error_t *error = NULL;
    int code;
    do {
        code = s->way == 0   ? plsm_stream_next(s->stream, &buf, &error)
               : s->way == 1 ? plsm_stream_read(s->stream, 0, 0, UINT64_MAX, &buf, &error)
                             : plsm_pool_wait(s->pool, 1000000, 0, 0, &error);
        plsm_buf_free(&buf);
    } while (code != -1);
    s->kind = error->kind;
    plsm_error_free(error);
    return NULL;
}

enum what { CUT, SHORTENED, REMOVED, DELETED, REPLACED, WHATS };

static void happens(enum what what, plsm_client_t *client, const char *dir)
{
    char path[4096], other[4096];
    path_of(path, sizeof path, dir, "docs");
    path_of(other, sizeof other, dir, "new");
    switch (what) {
    case CUT: CHECK(truncate(path, 0) == 0); break;
    case SHORTENED: CHECK(truncate(path, 5000) == 0); break;
    case REMOVED: CHECK(unlink(path) == 0); break;
    case DELETED: CHECK(plsm_pool_delete(client, "docs", NULL) == 0); break;
    default: {
        plsm_pool_t *pool = pool_of(client, "new", 0);
        append(pool, "{\"new\":1}");
        plsm_pool_free(pool);
        CHECK(rename(other, path) == 0);
    }
    }
}

static void every_call_learns_of_it(plsm_client_t *client, const char *dir, enum what what)
{
    plsm_pool_t *other = pool_of(client, "other", 0), *pool = pool_of(client, "docs", 0);
    plsm_stream_t *polled = NULL, *reads = NULL;
    struct sleeper sleepers[SLEEPERS];
    pthread_t threads[SLEEPERS];
    plsm_buf_t buf = {NULL, 0};
    plsm_error_t *error = NULL;
    int wanted = what == CUT || what == SHORTENED ? PLSM_ERR_CORRUPT : PLSM_ERR_NOT_FOUND;
    struct pollfd poll_fd = {-1, POLLIN, 0};
    for (int i = 0; i < 100; i++) append(pool, object);
    for (int i = 0; i < SLEEPERS; i++) {
        sleepers[i].pool = pool;
        sleepers[i].way = i;
        sleepers[i].kind = 0;
        CHECK(plsm_stream_open(pool, 101, 1, 0, 0, 0, 0, &sleepers[i].stream, NULL) == 0);
        CHECK(pthread_create(&threads[i], NULL, sleep_until_it_fails, &sleepers[i]) == 0);
    }
    CHECK(plsm_stream_open(pool, 1, 1, 0, 0, 0, 0, &reads, NULL) == 0);
    CHECK(plsm_stream_open(pool, 101, 1, 0, 0, 0, 0, &polled, NULL) == 0);
    CHECK(plsm_stream_fd(polled, &poll_fd.fd, NULL) == 0);
    CHECK(plsm_stream_read(polled, 0, 0, 0, &buf, NULL) == PLSM_STREAM_AGAIN);
    usleep(20000);
    happens(what, client, dir);
    /* Nobody tells a program: the first calls may still be served by what it has open. */
    while (plsm_pool_append(pool, (const uint8_t *)object, strlen(object), NULL, 0, 0, NULL, &error) == 0) {
    }
    CHECK(error->kind == wanted && error->path != NULL);
    plsm_error_free(error);
    for (int i = 0; i < SLEEPERS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(sleepers[i].kind == wanted);
        plsm_stream_free(sleepers[i].stream);
    }
    int code;
    do {
        CHECK(poll(&poll_fd, 1, 60000) == 1);
        code = plsm_stream_read(polled, 0, 0, 0, &buf, &error);
        plsm_buf_free(&buf);
    } while (code != -1);
    CHECK(error->kind == wanted);
    plsm_error_free(error);
    if (wanted == PLSM_ERR_CORRUPT) {
        CHECK_FAILS(plsm_stream_read(reads, 0, 0, 0, &buf, &error), error, wanted, "changed its size");
        plsm_error_free(error);
        CHECK_FAILS(plsm_pool_get_json(pool, 50, &buf, &error), error, wanted, "changed its size");
        plsm_error_free(error);
        CHECK_FAILS(plsm_pool_info_json(pool, &buf, &error), error, wanted, "changed its size");
        plsm_error_free(error);
    }
    append(other, object);
    plsm_stream_free(reads);
    plsm_stream_free(polled);
    plsm_pool_free(pool);
    if (what == REPLACED) {
        CHECK(plsm_pool_open(client, "docs", &pool, NULL) == 0);
        CHECK(plsm_pool_wait(pool, 1, 0, 1, NULL) == 0);
        CHECK(plsm_pool_get_json(pool, 1, &buf, NULL) == 0 && ends_in(&buf, "\"data\":{\"new\":1}}"));
        plsm_buf_free(&buf);
        plsm_pool_free(pool);
    }
    if (what != REMOVED && what != DELETED) {
        char path[4096];
        path_of(path, sizeof path, dir, "docs");
        CHECK(unlink(path) == 0);
    }
    plsm_pool_free(other);
    CHECK(plsm_pool_delete(client, "other", NULL) == 0);
}

/* Who had it open for writing writes on; who opens it now reads. */
static void a_file_made_read_only_is_so_for_those_who_come(plsm_client_t *client, const char *dir)
{
    char path[4096];
    int is_root = geteuid() == 0;
    plsm_pool_t *pool = pool_of(client, "docs", 0), *late = NULL;
    plsm_stream_t *stream = NULL;
    plsm_buf_t buf = {NULL, 0};
    plsm_error_t *error = NULL;
    path_of(path, sizeof path, dir, "docs");
    CHECK(chmod(path, 0444) == 0);
    append(pool, object);
    if (is_root) {
        /* The test's own directory, which is nobody else's at first. */
        snprintf(path, sizeof path, "%s/..", dir);
        CHECK(chmod(path, 0755) == 0 && chmod(dir, 0755) == 0 && seteuid(65534) == 0);
    }
    CHECK(plsm_pool_open(client, "docs", &late, NULL) == 0);
    CHECK_FAILS(plsm_pool_append(late, (const uint8_t *)object, strlen(object), NULL, 0, 0, NULL, &error), error,
                PLSM_ERR_PERMISSION, "reading only");
    plsm_error_free(error);
    CHECK(plsm_stream_open(late, 0, 0, 0, 0, 60000, 1, &stream, NULL) == 0);
    CHECK(plsm_stream_next(stream, &buf, NULL) == PLSM_STREAM_MESSAGE);
    plsm_buf_free(&buf);
    append(pool, object);
    CHECK(plsm_stream_next(stream, &buf, NULL) == PLSM_STREAM_MESSAGE && begins_with(&buf, "{\"seq\":2,"));
    plsm_buf_free(&buf);
    if (is_root) CHECK(seteuid(0) == 0);
    plsm_stream_free(stream);
    plsm_pool_free(late);
    plsm_pool_free(pool);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    signal(SIGALRM, hangs);
    alarm(240);
    plsm_client_t *client = client_of(argv[1]);
    for (int what = 0; what < WHATS; what++) every_call_learns_of_it(client, argv[1], (enum what)what);
    a_file_made_read_only_is_so_for_those_who_come(client, argv[1]);
    plsm_client_free(client);
    return 0;
}
