/* tsan_std.c - tells ThreadSanitizer where Rust's standard library waits. It comes built, and not for ThreadSanitizer, which
 * sees how a lock is taken at once or let go, since that is compiled into our code, but not how it is taken after a
 * wait. The linker puts these functions in the place of the library's, whose names common.sh gives to the compiler. */
#include <stddef.h>
#include <stdint.h>

void __tsan_acquire(void *address);
void __tsan_release(void *address);

#define GLUE_(a, b) a##b
#define GLUE(a, b) GLUE_(a, b)
#define OURS(name) GLUE(__wrap_, name)
#define THEIRS(name) GLUE(__real_, name)

#define LOCK(name) \
    void THEIRS(name)(void *lock); \
    void OURS(name)(void *lock); \
    void OURS(name)(void *lock) \
    { \
        THEIRS(name)(lock); \
        __tsan_acquire(lock); \
    }

LOCK(MUTEX_LOCK)
LOCK(RWLOCK_READ)
LOCK(RWLOCK_WRITE)

void THEIRS(CONDVAR_WAIT)(void *condvar, void *mutex);
void OURS(CONDVAR_WAIT)(void *condvar, void *mutex);
void OURS(CONDVAR_WAIT)(void *condvar, void *mutex)
{
    __tsan_release(mutex);
    THEIRS(CONDVAR_WAIT)(condvar, mutex);
    __tsan_acquire(mutex);
}

_Bool THEIRS(CONDVAR_WAIT_TIMEOUT)(void *condvar, void *mutex, uint64_t seconds, uint32_t nanoseconds);
_Bool OURS(CONDVAR_WAIT_TIMEOUT)(void *condvar, void *mutex, uint64_t seconds, uint32_t nanoseconds);
_Bool OURS(CONDVAR_WAIT_TIMEOUT)(void *condvar, void *mutex, uint64_t seconds, uint32_t nanoseconds)
{
    _Bool in_time;

    __tsan_release(mutex);
    in_time = THEIRS(CONDVAR_WAIT_TIMEOUT)(condvar, mutex, seconds, nanoseconds);
    __tsan_acquire(mutex);
    return in_time;
}

void THEIRS(ONCE_CALL)(void *once, size_t ignore_poison, void *function, void *vtable, void *caller);
void OURS(ONCE_CALL)(void *once, size_t ignore_poison, void *function, void *vtable, void *caller);
void OURS(ONCE_CALL)(void *once, size_t ignore_poison, void *function, void *vtable, void *caller)
{
    THEIRS(ONCE_CALL)(once, ignore_poison, function, vtable, caller);
    __tsan_acquire(once);
    __tsan_release(once);
}
