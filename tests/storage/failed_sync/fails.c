/* Preloaded into a process: one fsync or fdatasync fails with EIO and does nothing.
 *
 * VDOM_TEST_SYNC_FAILS_AT    the first is 1
 * VDOM_TEST_SYNC_FAILS_WHEN  the next one once this file exists
 * VDOM_TEST_SYNC_FAILED      a file that is made when it has failed
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long syncs;

static int fails(void) {
    const char *at = getenv("VDOM_TEST_SYNC_FAILS_AT");
    const char *when = getenv("VDOM_TEST_SYNC_FAILS_WHEN");
    const char *failed = getenv("VDOM_TEST_SYNC_FAILED");
    long number = atomic_fetch_add(&syncs, 1) + 1;
    int now = (at && atol(at) == number) || (when && unlink(when) == 0);
    if (now && failed) {
        close(open(failed, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    }
    return now;
}

static int sync_by(long call, int file) {
    if (fails()) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(call, file);
}

int fsync(int file) { return sync_by(SYS_fsync, file); }

int fdatasync(int file) { return sync_by(SYS_fdatasync, file); }
