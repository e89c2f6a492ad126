/* threads.c - calls from several threads at once */
#include "test.h"

#include <sched.h>

enum { THREADS = 4, EACH = 500 };

static wsengine_t *server;
static uint64_t target;
static int trouble;

static void *send_numbered(void *number)
{
    char text[32];
    int i, result;

    for (i = 0; i < EACH; i++) {
        snprintf(text, sizeof text, "%d %d", *(int *)number, i);
        while ((result = send_text(server, target, text)) == WSENGINE_ERR_WOULD_BLOCK)
            sched_yield();
        if (result != WSENGINE_OK)
            __atomic_add_fetch(&trouble, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void each_thread_keeps_its_order(void)
{
    pthread_t threads[THREADS];
    int numbers[THREADS], next[THREADS] = { 0 };
    int i, fd;

    server = start("send_queue_messages", "64", NULL);
    fd = open_to(server, &target);
    trouble = 0;
    for (i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK_EQ(pthread_create(&threads[i], NULL, send_numbered, &numbers[i]), 0);
    }
    for (i = 0; i < THREADS * EACH; i++) {
        char text[64];
        int thread, number;
        size_t len;
        CHECK_EQ(ws_receive(fd, text, sizeof text, &len), WS_TEXT);
        CHECK_EQ(sscanf(text, "%d %d", &thread, &number), 2);
        CHECK(thread >= 0 && thread < THREADS);
        CHECK_EQ(number, next[thread]);
        next[thread]++;
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(trouble, 0);
    close(fd);
    wsengine_free(server);
}

static void *broadcast_numbered(void *unused)
{
    int i;

    for (i = 0; i < EACH; i++) {
        if (wsengine_broadcast(server, WSENGINE_BINARY, &i, sizeof i) < 0)
            __atomic_add_fetch(&trouble, 1, __ATOMIC_RELAXED);
        if (i % 16 == 0)
            sleep_ms(1);
    }
    return unused;
}

static void *come_and_go(void *unused)
{
    int i;

    for (i = 0; i < 30; i++) {
        int fd = ws_open(wsengine_port(server), "/");
        if (fd < 0 || ws_send_text(fd, "hello") < 0)
            __atomic_add_fetch(&trouble, 1, __ATOMIC_RELAXED);
        if (i % 3 == 0)
            ws_reset(fd);
        else
            close(fd);
    }
    return unused;
}

static void broadcasts_cross_peers_that_come_and_go(void)
{
    pthread_t sender, clients[2];
    int i, opened = 0, closed = 0, fd;

    server = start("io_threads", "2", "send_queue_messages", "1000", NULL);
    fd = open_to(server, &target);
    trouble = 0;
    CHECK_EQ(pthread_create(&sender, NULL, broadcast_numbered, NULL), 0);
    for (i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&clients[i], NULL, come_and_go, NULL), 0);
    while (closed < 60) {
        wsengine_event_t events[16];
        int n = wsengine_poll_events(server, events, 16, WAIT_MS);
        CHECK(n > 0);
        for (i = 0; i < n; i++) {
            opened += events[i].type == WSENGINE_EVENT_OPEN;
            closed += events[i].type == WSENGINE_EVENT_CLOSE;
        }
        CHECK(closed <= opened);
    }
    CHECK_EQ(opened, 60);
    for (i = 0; i < EACH; i++) { /* who stayed misses nothing */
        char buffer[16];
        size_t len;
        int number;
        CHECK_EQ(ws_receive(fd, buffer, sizeof buffer, &len), WS_BINARY);
        memcpy(&number, buffer, sizeof number);
        CHECK_EQ(number, i);
    }
    pthread_join(sender, NULL);
    for (i = 0; i < 2; i++)
        pthread_join(clients[i], NULL);
    CHECK_EQ(trouble, 0);
    close(fd);
    wsengine_free(server);
}

static int polled;

static void *poll_along(void *unused)
{
    wsengine_event_t event;
    int n;

    while ((n = wsengine_poll_event(server, &event, 5)) != WSENGINE_ERR_STOPPED) {
        if (n == 1 && event.type == WSENGINE_EVENT_MESSAGE)
            __atomic_add_fetch(&polled, 1, __ATOMIC_RELAXED);
        else if (n < 0 && n != WSENGINE_ERR_BUSY)
            __atomic_add_fetch(&trouble, 1, __ATOMIC_RELAXED);
        if (n == WSENGINE_ERR_BUSY)
            sched_yield();
    }
    return unused;
}

static void pollers_that_take_turns_see_each_event_once(void)
{
    pthread_t threads[THREADS];
    int i, fd;

    server = start(NULL);
    fd = open_to(server, &target);
    trouble = polled = 0;
    for (i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, poll_along, NULL), 0);
    for (i = 0; i < EACH; i++)
        CHECK_EQ(ws_send(fd, WS_BINARY, &i, sizeof i), 0);
    CHECK_EQ(ws_send_close(fd, 1000, ""), 0);
    CHECK(ws_receives_close(fd, 1000, "")); /* all messages came before it */
    CHECK_EQ(wsengine_stop(server, WAIT_MS), WSENGINE_OK);
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(polled, EACH);
    CHECK_EQ(trouble, 0);
    close(fd);
    wsengine_free(server);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(each_thread_keeps_its_order),
        TEST(broadcasts_cross_peers_that_come_and_go),
        TEST(pollers_that_take_turns_see_each_event_once),
    };
    return RUN_TESTS(tests);
}
