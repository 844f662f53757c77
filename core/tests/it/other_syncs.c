/* Syncs of another disk, for a process that loads this first (LD_PRELOAD). They fail: all of them while the file
 * FAIL_SYNCS_WHILE exists, or the one with the number FAIL_SYNC_NUMBER. Or they are slow: each takes 5 ms more, and adds a
 * byte to the file SLOW_SYNCS. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void take_time(void)
{
    const char *slow = getenv("SLOW_SYNCS");
    if (slow == NULL)
        return;
    int fd = open(slow, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, ".", 1) != 1)
        abort();
    close(fd);
    usleep(5000);
}

static int fails(void)
{
    static int count;
    const char *file = getenv("FAIL_SYNCS_WHILE"), *number = getenv("FAIL_SYNC_NUMBER");
    count++;
    take_time();
    if ((file != NULL && access(file, F_OK) == 0) || (number != NULL && atoi(number) == count)) {
        errno = EIO;
        return 1;
    }
    return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd) { return fails() ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails() ? -1 : REAL(fdatasync)(fd); }
int syncfs(int fd) { return fails() ? -1 : REAL(syncfs)(fd); }
int msync(void *at, size_t len, int flags) { return fails() ? -1 : REAL(msync)(at, len, flags); }
int sync_file_range(int fd, off64_t at, off64_t len, unsigned flags)
{
    return fails() ? -1 : REAL(sync_file_range)(fd, at, len, flags);
}
