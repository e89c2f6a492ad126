/* faults.c - a system that fails: preloaded, it does what the file says that the environment's FAULTS names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* As test_exhaustion.py writes it. */
struct faults {
    int64_t accept_errno;      /* of accept4(2); 0: it works */
    int64_t eventfd_errno;     /* of eventfd(2) */
    int64_t realtime_seconds;  /* by which CLOCK_REALTIME is wrong */
    int64_t monotonic_seconds; /* by which CLOCK_MONOTONIC has jumped */
};

static volatile struct faults *faults;

__attribute__((constructor)) static void map(void)
{
    const char *path = getenv("FAULTS");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at;

    if (fd < 0)
        _exit(99);
    at = mmap(NULL, sizeof *faults, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        _exit(99);
    faults = at;
}

int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
    int (*real)(int, struct sockaddr *, socklen_t *, int) =
        (int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(RTLD_NEXT, "accept4");

    if (faults->accept_errno != 0) {
        errno = (int)faults->accept_errno;
        return -1;
    }
    return real(fd, address, len, flags);
}

int eventfd(unsigned int value, int flags)
{
    int (*real)(unsigned int, int) = (int (*)(unsigned int, int))dlsym(RTLD_NEXT, "eventfd");

    if (faults->eventfd_errno != 0) {
        errno = (int)faults->eventfd_errno;
        return -1;
    }
    return real(value, flags);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static int (*real)(clockid_t, struct timespec *);
    int result;

    if (real == NULL)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    result = real(clock, time);
    if (result == 0 && faults != NULL && clock == CLOCK_REALTIME)
        time->tv_sec += faults->realtime_seconds;
    if (result == 0 && faults != NULL && clock == CLOCK_MONOTONIC)
        time->tv_sec += faults->monotonic_seconds;
    return result;
}
