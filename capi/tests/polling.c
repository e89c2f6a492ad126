/* polling.c - waiting for events: times, batches, wake-ups, signals, two pollers, an event loop */
#include "test.h"

#include <errno.h>
#include <sched.h>
#include <sys/epoll.h>

static wsengine_t *server;
static volatile sig_atomic_t signals, errno_spoilt;
static int enough;

static void a_timeout_is_kept(void)
{
    wsengine_event_t event;
    int64_t begun;

    server = start(NULL);
    begun = now_ms();
    CHECK_EQ(wsengine_poll_event(server, &event, 0), 0);
    CHECK(now_ms() - begun < WAIT_MS / 2);
    begun = now_ms();
    CHECK_EQ(wsengine_poll_event(server, &event, 60), 0);
    CHECK(now_ms() - begun >= 59);
    wsengine_free(server);
}

static void a_batch_is_as_large_as_wanted(void)
{
    enum { MESSAGES = 10 };
    wsengine_event_t events[4];
    uint64_t conn;
    int fd, i, n, taken;

    server = start(NULL);
    fd = open_to(server, &conn);
    for (i = 0; i < MESSAGES; i++)
        ws_send(fd, WS_BINARY, &i, sizeof i);
    for (taken = 0; taken < MESSAGES; taken += n) {
        n = wsengine_poll_events(server, events, 4, WAIT_MS);
        CHECK(n >= 1 && n <= 4);
        for (i = 0; i < n; i++) {
            int number;
            CHECK_EQ(events[i].type, WSENGINE_EVENT_MESSAGE);
            memcpy(&number, events[i].data, sizeof number);
            CHECK_EQ(number, taken + i);
        }
    }
    CHECK_EQ(wsengine_poll_events(server, events, 4, 0), 0);
    close(fd);
    wsengine_free(server);
}

static void events_stay_until_the_next_poll(void)
{
    enum { MESSAGES = 50 };
    wsengine_event_t events[MESSAGES];
    char expected[32], *large = malloc(100000);
    uint64_t conn;
    int fd, i, taken = 0;

    CHECK(large != NULL);
    memset(large, 'L', 100000);
    server = start(NULL);
    fd = open_to(server, &conn);
    while (taken == 0) {
        for (i = 0; i < MESSAGES - 1; i++) {
            snprintf(expected, sizeof expected, "message %d", i);
            ws_send_text(fd, expected);
        }
        ws_send(fd, WS_TEXT, large, 100000);
        taken = wsengine_poll_events(server, events, MESSAGES, WAIT_MS);
        CHECK(taken > 0);
    }
    /* While the events are kept more come in, and answers go out. */
    for (i = 0; i < MESSAGES; i++)
        ws_send_text(fd, "later");
    CHECK_EQ(send_text(server, conn, "answer"), WSENGINE_OK);
    CHECK(ws_receives(fd, WS_TEXT, "answer"));
    for (i = 0; i < taken; i++) {
        snprintf(expected, sizeof expected, "message %d", i);
        CHECK(i == MESSAGES - 1 ? events[i].len == 100000 && memcmp(events[i].data, large, 100000) == 0
                                : event_says(&events[i], expected));
    }
    free(large);
    close(fd);
    wsengine_free(server);
}

static void a_wakeup_before_the_poll_counts(void)
{
    wsengine_event_t event;
    int64_t begun = now_ms();

    server = start(NULL);
    CHECK_EQ(wsengine_wakeup(server), WSENGINE_OK);
    CHECK_EQ(wsengine_wakeup(server), WSENGINE_OK);
    CHECK_EQ(wsengine_poll_event(server, &event, WAIT_MS), 0);
    CHECK(now_ms() - begun < WAIT_MS / 2);
    CHECK_EQ(wsengine_poll_event(server, &event, 20), 0);
    wsengine_free(server);
}

/* As with a library whose every call wakes the loop. */
static void wakeups_without_a_pause_keep_no_event_away(void)
{
    wsengine_event_t event;
    uint64_t conn;
    int fd, i, n, taken = 0;

    server = start(NULL);
    fd = open_to(server, &conn);
    for (i = 0; i < 10; i++)
        CHECK_EQ(ws_send_text(fd, "hello"), 0);
    CHECK_EQ(ws_send(fd, WS_PING, "", 0), 0);
    CHECK(ws_receives(fd, WS_PONG, "")); /* now all are there */
    for (i = 0; i < 40; i++) {
        wsengine_wakeup(server);
        n = wsengine_poll_event(server, &event, WAIT_MS);
        CHECK(n == 0 || n == 1);
        CHECK_EQ(event.type, n == 1 ? WSENGINE_EVENT_MESSAGE : WSENGINE_EVENT_NONE);
        taken += n;
    }
    CHECK_EQ(taken, 10);
    close(fd);
    wsengine_free(server);
}

static void *wake_after_a_while(void *unused)
{
    sleep_ms(30);
    wsengine_wakeup(server);
    return unused;
}

static void a_wakeup_from_another_thread_ends_the_wait(void)
{
    wsengine_event_t event;
    pthread_t thread;
    int64_t begun = now_ms();

    server = start(NULL);
    CHECK_EQ(pthread_create(&thread, NULL, wake_after_a_while, NULL), 0);
    CHECK_EQ(wsengine_poll_event(server, &event, -1), 0);
    CHECK(now_ms() - begun < WAIT_MS / 2);
    pthread_join(thread, NULL);
    wsengine_free(server);
}

static void on_signal_wake(int sig)
{
    int before = errno;

    (void)sig;
    wsengine_wakeup(server);
    errno_spoilt |= errno != before;
    signals++;
}

static void *signal_main_thread(void *main_thread)
{
    while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
        pthread_kill(*(pthread_t *)main_thread, SIGUSR1);
        sched_yield();
    }
    return NULL;
}

/* The handler strikes anywhere in poll, in send and between; it must never hang, and no wake-up may be lost. */
static void a_wakeup_in_a_signal_handler_is_safe(void)
{
    wsengine_event_t event;
    struct sigaction action, before;
    pthread_t thread, self = pthread_self();
    uint64_t conn;
    int fd, i, n, woken = 0;

    server = start(NULL);
    fd = open_to(server, &conn);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal_wake;
    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &action, &before);
    signals = 0;
    enough = 0;
    CHECK_EQ(pthread_create(&thread, NULL, signal_main_thread, &self), 0);
    while (signals < 1000) {
        CHECK_EQ(ws_send_text(fd, "ping"), 0);
        while ((n = wsengine_poll_event(server, &event, -1)) == 0)
            woken++;
        CHECK_EQ(n, 1);
        CHECK_EQ(wsengine_send(server, conn, WSENGINE_TEXT, event.data, event.len), WSENGINE_OK);
        CHECK(ws_receives(fd, WS_TEXT, "ping"));
    }
    __atomic_store_n(&enough, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    CHECK(woken > 0);
    for (i = 0; i < 100; i++) {
        raise(SIGUSR1);
        CHECK_EQ(wsengine_poll_event(server, &event, -1), 0);
    }
    CHECK(!errno_spoilt);
    sigaction(SIGUSR1, &before, NULL);
    close(fd);
    wsengine_free(server);
}

static void on_signal_count(int sig)
{
    (void)sig;
    signals++;
}

static void a_signal_handler_ends_the_wait(void)
{
    struct sigaction action, before;
    struct itimerval soon = { { 0, 0 }, { 0, 50000 } };
    wsengine_event_t event;

    server = start(NULL);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal_count;
    action.sa_flags = SA_RESTART; /* ppoll(2) is never restarted */
    sigaction(SIGALRM, &action, &before);
    signals = 0;
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK_EQ(wsengine_poll_event(server, &event, WAIT_MS), 0);
    CHECK_EQ(signals, 1);
    sigaction(SIGALRM, &before, NULL);
    wsengine_free(server);
}

static void *poll_until_woken(void *unused)
{
    wsengine_event_t event;

    while (wsengine_poll_event(server, &event, -1) == WSENGINE_ERR_BUSY)
        sched_yield();
    return unused;
}

static void only_one_thread_polls(void)
{
    wsengine_event_t event;
    pthread_t thread;
    int64_t begun = now_ms();
    int result;

    server = start(NULL);
    CHECK_EQ(pthread_create(&thread, NULL, poll_until_woken, NULL), 0);
    while ((result = wsengine_poll_event(server, &event, 0)) == 0 && now_ms() - begun < WAIT_MS)
        sched_yield();
    CHECK_EQ(result, WSENGINE_ERR_BUSY);
    CHECK_EQ(wsengine_wakeup(server), WSENGINE_OK);
    pthread_join(thread, NULL);
    CHECK_EQ(wsengine_poll_event(server, &event, 0), 0);
    wsengine_free(server);
}

static int is_readable(int epoll, int timeout_ms)
{
    struct epoll_event event;

    return epoll_wait(epoll, &event, 1, timeout_ms);
}

/* A wake-up may be late by a moment, when its event was taken with the one before; a poll that finds nothing ends it. */
static int comes_to_rest(int epoll)
{
    int64_t begun = now_ms();
    wsengine_event_t event;

    while (is_readable(epoll, 30) != 0)
        if (wsengine_poll_event(server, &event, 0) != 0 || now_ms() - begun > WAIT_MS)
            return 0;
    return 1;
}

static void the_event_fd_is_readable_while_events_wait(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC), fd;
    struct epoll_event interest;
    wsengine_event_t event;
    uint64_t conn;

    server = start(NULL);
    memset(&interest, 0, sizeof interest);
    interest.events = EPOLLIN;
    CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, wsengine_event_fd(server), &interest), 0);
    CHECK_EQ(wsengine_poll_event(server, &event, 0), 0);
    CHECK(comes_to_rest(epoll));

    fd = connect_to(server);
    CHECK_EQ(is_readable(epoll, WAIT_MS), 1);
    conn = expect(server, WSENGINE_EVENT_OPEN).conn;
    CHECK(comes_to_rest(epoll));

    ws_send_text(fd, "one");
    ws_send_text(fd, "two");
    CHECK_EQ(is_readable(epoll, WAIT_MS), 1);
    CHECK_EQ(is_readable(epoll, 0), 1);
    expect(server, WSENGINE_EVENT_MESSAGE);
    CHECK_EQ(is_readable(epoll, WAIT_MS), 1);
    expect(server, WSENGINE_EVENT_MESSAGE);
    CHECK(comes_to_rest(epoll));

    /* Sending wakes nobody here. */
    CHECK_EQ(send_text(server, conn, "answer"), WSENGINE_OK);
    CHECK(ws_receives(fd, WS_TEXT, "answer"));
    CHECK_EQ(is_readable(epoll, 0), 0);

    CHECK_EQ(wsengine_wakeup(server), WSENGINE_OK);
    CHECK_EQ(is_readable(epoll, WAIT_MS), 1);
    CHECK_EQ(wsengine_poll_event(server, &event, 0), 0);
    CHECK(comes_to_rest(epoll));

    close(fd);
    CHECK_EQ(is_readable(epoll, WAIT_MS), 1);
    expect(server, WSENGINE_EVENT_CLOSE);
    wsengine_stop(server, 0);
    CHECK_EQ(is_readable(epoll, WAIT_MS), 1);
    expect(server, WSENGINE_EVENT_STOPPED);
    CHECK_EQ(is_readable(epoll, 0), 1); /* as a socket at its end: the next poll does not wait either */
    CHECK_EQ(wsengine_poll_event(server, &event, -1), WSENGINE_ERR_STOPPED);
    CHECK_EQ(is_readable(epoll, 0), 1);
    close(epoll);
    wsengine_free(server);
}

/* An event loop only polls without waiting: no event may be left behind a silent descriptor. */
static void an_event_loop_misses_nothing(void)
{
    enum { MESSAGES = 2000 };
    int epoll = epoll_create1(EPOLL_CLOEXEC), fd, i, n, taken = 0;
    struct epoll_event interest;
    wsengine_event_t events[7];
    uint64_t conn;

    server = start(NULL);
    fd = open_to(server, &conn);
    memset(&interest, 0, sizeof interest);
    interest.events = EPOLLIN;
    epoll_ctl(epoll, EPOLL_CTL_ADD, wsengine_event_fd(server), &interest);
    for (i = 0; i < MESSAGES; i++) {
        CHECK_EQ(ws_send(fd, WS_BINARY, &i, sizeof i), 0);
        if (i % 3 == 0 && is_readable(epoll, 0) == 1) {
            n = wsengine_poll_events(server, events, 7, 0);
            CHECK(n >= 0);
            taken += n;
        }
    }
    while (taken < MESSAGES) {
        CHECK_EQ(is_readable(epoll, WAIT_MS), 1);
        n = wsengine_poll_events(server, events, 7, 0);
        CHECK(n >= 0);
        taken += n;
    }
    CHECK_EQ(taken, MESSAGES);
    close(fd);
    close(epoll);
    wsengine_free(server);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(a_timeout_is_kept),
        TEST(a_batch_is_as_large_as_wanted),
        TEST(events_stay_until_the_next_poll),
        TEST(a_wakeup_before_the_poll_counts),
        TEST(wakeups_without_a_pause_keep_no_event_away),
        TEST(a_wakeup_from_another_thread_ends_the_wait),
        TEST(a_wakeup_in_a_signal_handler_is_safe),
        TEST(a_signal_handler_ends_the_wait),
        TEST(only_one_thread_polls),
        TEST(the_event_fd_is_readable_while_events_wait),
        TEST(an_event_loop_misses_nothing),
    };
    return RUN_TESTS(tests);
}
