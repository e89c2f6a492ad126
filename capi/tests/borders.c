/* borders.c - calls at the wrong time or from the wrong place: each has an answer, none does harm */
#include "test.h"

#include <sched.h>

#include "every_call.h"

enum { THREADS = 8 };

static wsengine_t *server;
static uint64_t conn;
static int begun;

static void no_server_is_invalid(void)
{
    CHECK_ALL_ANSWER(WSENGINE_ERR_INVALID, NULL, 1);
    CHECK_EQ(wsengine_port(NULL), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "server is NULL");
}

static void a_freed_server_has_stopped(void)
{
    server = start(NULL);
    wsengine_free(server);
    CHECK_ALL_ANSWER(WSENGINE_ERR_STOPPED, server, 1);
    CHECK_HAS(wsengine_last_error(), "freed");
    wsengine_free(server);
    CHECK_TEXT(wsengine_last_error(), "the server was freed before");
}

/* What asks or ends is allowed after the stop, what sends is refused. */
static void a_stopped_server_sends_nothing(void)
{
    wsengine_stats_t stats = { .struct_size = sizeof stats };
    wsengine_event_t event;
    int fd;

    server = start(NULL);
    fd = open_to(server, &conn);
    CHECK_EQ(wsengine_stop(server, 0), WSENGINE_OK);
    expect(server, WSENGINE_EVENT_CLOSE);
    expect(server, WSENGINE_EVENT_STOPPED);
    CHECK_EQ(send_text(server, conn, "x"), WSENGINE_ERR_STOPPED);
    CHECK_EQ(wsengine_broadcast(server, WSENGINE_TEXT, "x", 1), WSENGINE_ERR_STOPPED);
    CHECK_EQ(wsengine_publish(server, "news", WSENGINE_TEXT, "x", 1), WSENGINE_ERR_STOPPED);
    CHECK_EQ(wsengine_subscribe(server, conn, "news"), WSENGINE_ERR_STOPPED);
    CHECK_EQ(wsengine_accept(server, conn, NULL, NULL), WSENGINE_ERR_STOPPED);
    CHECK_EQ(wsengine_close(server, conn, 1000, NULL), WSENGINE_ERR_NOT_CONNECTED);
    CHECK_EQ(wsengine_abort(server, conn), WSENGINE_ERR_NOT_CONNECTED);
    CHECK_EQ(wsengine_is_open(server, conn), 0);
    CHECK_EQ(wsengine_stats(server, &stats), WSENGINE_OK);
    CHECK_EQ(stats.closed, 1);
    CHECK_EQ(wsengine_wakeup(server), WSENGINE_OK);
    CHECK_EQ(wsengine_poll_event(server, &event, -1), 0);
    CHECK_EQ(wsengine_poll_event(server, &event, -1), WSENGINE_ERR_STOPPED);
    CHECK_EQ(wsengine_stop(server, 0), WSENGINE_OK);
    wsengine_free(server);
    close(fd);
}

static void the_id_of_a_closed_connection_is_not_connected(void)
{
    uint64_t next;
    int fd;

    server = start(NULL);
    close(open_to(server, &conn));
    expect(server, WSENGINE_EVENT_CLOSE);
    fd = open_to(server, &next); /* maybe in the place of the other */
    CHECK_EQ(send_text(server, conn, "x"), WSENGINE_ERR_NOT_CONNECTED);
    CHECK_EQ(wsengine_subscribe(server, conn, "news"), WSENGINE_ERR_NOT_CONNECTED);
    CHECK_EQ(wsengine_unsubscribe(server, conn, "news"), WSENGINE_ERR_NOT_CONNECTED);
    CHECK_EQ(wsengine_close(server, conn, 1000, NULL), WSENGINE_ERR_NOT_CONNECTED);
    CHECK_EQ(wsengine_abort(server, conn), WSENGINE_ERR_NOT_CONNECTED);
    CHECK_EQ(wsengine_buffered(server, conn), WSENGINE_ERR_NOT_CONNECTED);
    CHECK_EQ(wsengine_accept(server, conn, NULL, NULL), WSENGINE_ERR_DECIDED);
    CHECK_EQ(wsengine_is_open(server, conn), 0);
    CHECK_EQ(send_text(server, next, "you"), WSENGINE_OK);
    CHECK(ws_receives(fd, WS_TEXT, "you"));
    close(fd);
    wsengine_free(server);
}

/* ---- wsengine_free() while other threads are inside ---- */

static void *poll_for_ever(void *result)
{
    wsengine_event_t event;

    __atomic_add_fetch(&begun, 1, __ATOMIC_RELAXED);
    *(int *)result = wsengine_poll_event(server, &event, -1);
    return NULL;
}

static void free_ends_a_poll_that_waits(void)
{
    pthread_t thread;
    int64_t then;
    int result = 99;

    server = start(NULL);
    begun = 0;
    CHECK_EQ(pthread_create(&thread, NULL, poll_for_ever, &result), 0);
    while (__atomic_load_n(&begun, __ATOMIC_RELAXED) == 0)
        sched_yield();
    sleep_ms(20); /* not too early: it would be told that the server was freed, which is as good */
    then = now_ms();
    wsengine_free(server);
    CHECK(now_ms() - then < WAIT_MS / 2);
    pthread_join(thread, NULL);
    CHECK(result == 0 || result == WSENGINE_ERR_STOPPED);
}

static void *call_until_freed(void *number)
{
    const call_t *call = &every_call[*(size_t *)number % (sizeof every_call / sizeof *every_call)];
    int answer;

    do {
        answer = call->call(server, conn);
        __atomic_add_fetch(&begun, 1, __ATOMIC_RELAXED);
    } while (answer != WSENGINE_ERR_STOPPED);
    return NULL;
}

/* Each function, on its own thread: those that are inside get out, those that come later are told. */
static void free_waits_for_the_calls_under_way(void)
{
    static const char *const left_out[] = { "wsengine_stop", "wsengine_request_header", "wsengine_request_cookie" };
    size_t calls = sizeof every_call / sizeof *every_call, numbers[64], i, j;
    pthread_t threads[64];
    int64_t then = now_ms();
    int round;

    /* Under valgrind, which runs one thread at a time, a round takes seconds. */
    for (round = 0; round < 10 && now_ms() - then < 10000; round++) {
        size_t count = 0;
        int fd;
        server = start("io_threads", "2", NULL);
        fd = open_to(server, &conn);
        no_pointer = WSENGINE_ERR_STOPPED;
        begun = 0;
        for (i = 0; i < calls; i++) {
            int skip = 0;
            for (j = 0; j < sizeof left_out / sizeof *left_out; j++)
                skip |= strcmp(every_call[i].name, left_out[j]) == 0;
            if (skip)
                continue;
            numbers[count] = i;
            CHECK_EQ(pthread_create(&threads[count], NULL, call_until_freed, &numbers[count]), 0);
            count++;
        }
        while (__atomic_load_n(&begun, __ATOMIC_RELAXED) < 1000)
            sched_yield();
        wsengine_free(server);
        for (i = 0; i < count; i++)
            pthread_join(threads[i], NULL);
        close(fd);
    }
}

static void *free_it(void *unused)
{
    wsengine_free(server);
    return unused;
}

static void of_several_that_free_one_does(void)
{
    pthread_t threads[THREADS];
    int i, descriptors = entries("/proc/self/fd");

    server = start(NULL);
    for (i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, free_it, NULL), 0);
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(entries("/proc/self/fd"), descriptors);
}

/* ---- the log function ---- */

static const char *not_refused;
static int lines, other_answers[4];

/* Runs on a thread of the server, and on the one that calls wsengine_start(). */
static void misbehave(int level, const char *line, void *user_data)
{
    wsengine_config_t *config = user_data;
    wsengine_t *another = (wsengine_t *)&lines;

    (void)level;
    (void)line;
    if (lines++ > 0 && server == NULL)
        return;
    other_answers[0] = wsengine_start(config, &another);
    other_answers[1] = wsengine_config_set(config, "io_threads", "1");
    other_answers[2] = wsengine_set_log(NULL, NULL);
    other_answers[3] = wsengine_config_new() == NULL && wsengine_option_info(0) == NULL ? WSENGINE_ERR_BUSY : 0;
    if (server != NULL) {
        size_t i;
        no_pointer = WSENGINE_ERR_BUSY;
        for (i = 0; i < sizeof every_call / sizeof *every_call; i++)
            if (every_call[i].call(server, conn) != WSENGINE_ERR_BUSY && strcmp(every_call[i].name, "wsengine_wakeup") != 0)
                not_refused = every_call[i].name;
        wsengine_free(server);
    }
    if (wsengine_version_number() != WSENGINE_VERSION_NUMBER || strstr(wsengine_last_error(), "log function") == NULL)
        not_refused = "the last error";
}

static void a_log_function_is_refused(void)
{
    wsengine_config_t *config = wsengine_config_new();
    int fd, i;

    not_refused = NULL;
    lines = 0;
    server = NULL;
    CHECK_EQ(wsengine_set_log(misbehave, config), WSENGINE_OK);
    server = start("log_level", "debug", NULL);
    CHECK(lines > 0);
    fd = open_to(server, &conn);
    CHECK_EQ(send_text(server, conn, "unharmed"), WSENGINE_OK);
    CHECK(ws_receives(fd, WS_TEXT, "unharmed"));
    close(fd);
    CHECK_EQ(wsengine_stop(server, WAIT_MS), WSENGINE_OK);
    while (expect(server, WSENGINE_EVENT_CLOSE).conn != conn)
        ;
    expect(server, WSENGINE_EVENT_STOPPED);
    CHECK_EQ(wsengine_set_log(NULL, NULL), WSENGINE_OK);
    CHECK(lines > 2);
    if (not_refused != NULL)
        fail(__FILE__, __LINE__, not_refused);
    for (i = 0; i < 4; i++)
        CHECK_EQ(other_answers[i], WSENGINE_ERR_BUSY);
    wsengine_free(server);
    wsengine_config_free(config);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(no_server_is_invalid),
        TEST(a_freed_server_has_stopped),
        TEST(a_stopped_server_sends_nothing),
        TEST(the_id_of_a_closed_connection_is_not_connected),
        TEST(free_ends_a_poll_that_waits),
        TEST(free_waits_for_the_calls_under_way),
        TEST(of_several_that_free_one_does),
        TEST(a_log_function_is_refused),
    };
    return RUN_TESTS(tests);
}
