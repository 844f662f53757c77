/* A host program's own handler for SIGBUS beside ours: each gets what is its own. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile sig_atomic_t caught, sent;
static void *volatile address;
static sigjmp_buf back;
static struct sigaction before;

static void host_handler(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    if (info->si_code <= 0) {
        sent++;
        return;
    }
    caught++;
    address = info->si_addr;
    siglongjmp(back, 1);
}

/* One that a host installs after us, and that asks whoever was there before. */
static void chaining_handler(int signal, siginfo_t *info, void *context)
{
    before.sa_sigaction(signal, info, context);
}

static void install(void (*handler)(int, siginfo_t *, void *), struct sigaction *old)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    CHECK(sigaction(SIGBUS, &action, old) == 0);
}

/* Touches a mapping of the host's own whose file has no bytes. */
static void the_host_gets_its_own_faults(const char *dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/of the host", dir);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
    volatile char *map = (volatile char *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED && ftruncate(fd, 0) == 0);
    caught = 0;
    if (sigsetjmp(back, 1) == 0) {
        map[100] = 1;
        CHECK(!"the access must fault");
    }
    CHECK(caught == 1 && address == (void *)(uintptr_t)&map[100]);
    CHECK(munmap((void *)(uintptr_t)map, 4096) == 0 && close(fd) == 0);
}

static void the_host_gets_what_a_process_sends(void)
{
    sent = 0;
    CHECK(kill(getpid(), SIGBUS) == 0);
    CHECK(sent == 1);
}

/* The pool's file is cut under it: the call fails, and the host hears nothing of it. */
static void a_cut_pool_is_an_error_of_the_call(plsm_client_t *client, const char *dir, const char *name)
{
    char path[4096];
    plsm_buf_t message = {NULL, 0};
    plsm_error_t *error = NULL;
    plsm_pool_t *pool = pool_of(client, name, 1 << 20);
    for (int i = 0; i < 100; i++) append(pool, "{\"a\":1}");
    snprintf(path, sizeof path, "%s/%s.plasmite", dir, name);
    CHECK(truncate(path, 0) == 0);
    caught = 0;
    CHECK_FAILS(plsm_pool_get_json(pool, 50, &message, &error), error, PLSM_ERR_CORRUPT, "changed its size");
    plsm_error_free(error);
    error = NULL;
    const char *json = "{\"a\":2}";
    CHECK_FAILS(plsm_pool_append_json(pool, (const uint8_t *)json, strlen(json), NULL, 0, 0, &message, &error), error,
                PLSM_ERR_CORRUPT, "changed its size");
    plsm_error_free(error);
    CHECK(caught == 0);
    plsm_pool_free(pool);
    CHECK(unlink(path) == 0);
}

/* Nobody but the library's own thread, which takes no signals, looks at the pool when its file is cut. */
static void a_cut_pool_makes_a_polled_descriptor_readable(plsm_client_t *client, const char *dir)
{
    char path[4096];
    plsm_buf_t lines = {NULL, 0};
    plsm_error_t *error = NULL;
    plsm_stream_t *stream = NULL;
    struct pollfd poll_fd = {-1, POLLIN, 0};
    plsm_pool_t *pool = pool_of(client, "polled", 1 << 20);
    CHECK(plsm_stream_open(pool, 1, 1, 0, 0, 0, 0, &stream, NULL) == 0);
    CHECK(plsm_stream_fd(stream, &poll_fd.fd, NULL) == 0);
    CHECK(plsm_stream_read(stream, 0, 0, 0, &lines, NULL) == PLSM_STREAM_AGAIN);
    snprintf(path, sizeof path, "%s/polled.plasmite", dir);
    CHECK(truncate(path, 0) == 0);
    caught = 0;
    CHECK(poll(&poll_fd, 1, 60000) == 1);
    CHECK_FAILS(plsm_stream_read(stream, 0, 0, 0, &lines, &error), error, PLSM_ERR_CORRUPT, "changed its size");
    plsm_error_free(error);
    CHECK(caught == 0);
    plsm_stream_free(stream);
    plsm_pool_free(pool);
    CHECK(unlink(path) == 0);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    plsm_client_t *client = client_of(argv[1]);
    install(host_handler, NULL);
    a_cut_pool_is_an_error_of_the_call(client, argv[1], "first");
    the_host_gets_its_own_faults(argv[1]);
    the_host_gets_what_a_process_sends();
    a_cut_pool_is_an_error_of_the_call(client, argv[1], "second");
    the_host_gets_its_own_faults(argv[1]);

    install(chaining_handler, &before);
    a_cut_pool_is_an_error_of_the_call(client, argv[1], "third");
    the_host_gets_its_own_faults(argv[1]);
    the_host_gets_what_a_process_sends();
    a_cut_pool_makes_a_polled_descriptor_readable(client, argv[1]);
    plsm_client_free(client);
    return 0;
}
