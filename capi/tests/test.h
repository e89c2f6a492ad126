/* test.h - runs the tests of one program, one line each: `ok NAME` or `FAILED NAME: where and why`.
 * Include it first: it chooses the POSIX of the other headers. */
#ifndef TEST_H
#define TEST_H

#define _XOPEN_SOURCE 700

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wsengine.h>

#include "ws_client.h"

#define WAIT_MS 20000     /* for what must happen; reached only when it does not */
#define TEST_SECONDS 60   /* then a test hangs */

typedef struct {
    const char *name;
    void (*run)(void);
} test_t;

#define TEST(name) { #name, name }

/* A failed check ends its test; only for the main thread. */
#define CHECK(condition) \
    do { \
        if (!(condition)) \
            fail(__FILE__, __LINE__, #condition); \
    } while (0)
#define CHECK_EQ(actual, expected) check_eq(__FILE__, __LINE__, #actual, (long long)(actual), (long long)(expected))
#define CHECK_TEXT(actual, expected) check_text(__FILE__, __LINE__, #actual, actual, expected)
#define CHECK_HAS(text, part) check_has(__FILE__, __LINE__, #text, text, part)

static jmp_buf test_over;
static const char *test_name;

static inline void fail(const char *file, int line, const char *text)
{
    printf("FAILED %s: %s:%d: %s; last error: %s\n", test_name, file, line, text, wsengine_last_error());
    longjmp(test_over, 1);
}

static inline void check_eq(const char *file, int line, const char *what, long long actual, long long expected)
{
    char text[300];

    if (actual == expected)
        return;
    snprintf(text, sizeof text, "%s is %lld, not %lld", what, actual, expected);
    fail(file, line, text);
}

static inline void check_text(const char *file, int line, const char *what, const char *actual, const char *expected)
{
    char text[1000];

    if (strcmp(actual, expected) == 0)
        return;
    snprintf(text, sizeof text, "%s is \"%s\", not \"%s\"", what, actual, expected);
    fail(file, line, text);
}

static inline void check_has(const char *file, int line, const char *what, const char *text, const char *part)
{
    char message[1000];

    if (strstr(text, part) != NULL)
        return;
    snprintf(message, sizeof message, "%s is \"%s\", without \"%s\"", what, text, part);
    fail(file, line, message);
}

static inline void on_hang(int sig)
{
    static const char text[] = "FAILED (hangs)\n";

    (void)sig;
    if (write(STDOUT_FILENO, text, sizeof text - 1) < 0)
        _exit(3);
    _exit(2);
}

static inline int run_tests(const test_t *tests, size_t count)
{
    volatile size_t i;
    volatile int failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGALRM, on_hang);
    for (i = 0; i < count; i++) {
        test_name = tests[i].name;
        alarm(TEST_SECONDS);
        if (setjmp(test_over) == 0) {
            tests[i].run();
            printf("ok %s\n", test_name);
        } else {
            failed = 1;
        }
        alarm(0);
    }
    return failed;
}

#define RUN_TESTS(tests) run_tests(tests, sizeof tests / sizeof *tests)

/* ---- servers ---- */

/* Starts a server on a free port; options are names and values up to a NULL. */
static inline wsengine_t *start(const char *name, ...)
{
    wsengine_config_t *config = wsengine_config_new();
    wsengine_t *server = NULL;
    va_list options;

    CHECK(config != NULL);
    CHECK_EQ(wsengine_config_set(config, "listen", "127.0.0.1:0"), WSENGINE_OK);
    va_start(options, name);
    for (; name != NULL; name = va_arg(options, const char *))
        CHECK_EQ(wsengine_config_set(config, name, va_arg(options, const char *)), WSENGINE_OK);
    va_end(options);
    CHECK_EQ(wsengine_start(config, &server), WSENGINE_OK);
    CHECK(server != NULL);
    wsengine_config_free(config);
    return server;
}

/* Opens a connection to it from outside. */
static inline int connect_to(const wsengine_t *server)
{
    int fd = ws_open(wsengine_port(server), "/");

    CHECK(fd >= 0);
    return fd;
}

/* The next event, which must be of this type. */
static inline wsengine_event_t expect(wsengine_t *server, wsengine_event_type type)
{
    wsengine_event_t event;
    int n;

    memset(&event, 0xaa, sizeof event);
    do /* 0 before the time: a signal handler ran */
        n = wsengine_poll_event(server, &event, WAIT_MS);
    while (n == 0);
    CHECK_EQ(n, 1);
    CHECK_EQ(event.type, type);
    return event;
}

/* Opens a connection and takes its event; *conn is its id. */
static inline int open_to(wsengine_t *server, uint64_t *conn)
{
    int fd = connect_to(server);

    *conn = expect(server, WSENGINE_EVENT_OPEN).conn;
    CHECK(*conn > 0);
    return fd;
}

static inline int event_says(const wsengine_event_t *event, const char *text)
{
    return event->len == strlen(text) && memcmp(event->data, text, event->len) == 0;
}

static inline int send_text(const wsengine_t *server, uint64_t conn, const char *text)
{
    return wsengine_send(server, conn, WSENGINE_TEXT, text, strlen(text));
}

/* ---- the system ---- */

static inline int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void sleep_ms(long ms)
{
    struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

    nanosleep(&time, NULL);
}

/* How many entries a directory has, such as /proc/self/task or /proc/self/fd. */
static inline int entries(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;

    if (directory == NULL)
        return -1;
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static inline int threads(void)
{
    return entries("/proc/self/task");
}

/* The system lists a thread for a moment longer than it takes to join it. */
static inline int threads_come_down_to(int count)
{
    int64_t begun = now_ms();

    while (threads() > count) {
        if (now_ms() - begun > WAIT_MS)
            return 0;
        sleep_ms(1);
    }
    return 1;
}

#endif
