/* messages.c - what is received and what is sent */
#include "test.h"

#include <poll.h>

static void an_open_event_has_the_target(void)
{
    wsengine_t *server = start(NULL);
    wsengine_event_t event;
    int plain = ws_open(wsengine_port(server), "/room"), query;

    event = expect(server, WSENGINE_EVENT_OPEN);
    CHECK(plain >= 0 && event_says(&event, "/room"));
    query = ws_open(wsengine_port(server), "/room/%41?name=J%C3%BCrgen&x=1");
    event = expect(server, WSENGINE_EVENT_OPEN);
    CHECK(query >= 0 && event_says(&event, "/room/%41?name=J%C3%BCrgen&x=1"));
    CHECK(event.conn > 0 && event.conn < (uint64_t)1 << 63);
    CHECK_EQ(event.flags, 0);
    CHECK_EQ(event.kind, 0);
    CHECK_EQ(event.code, 0);
    CHECK(event.request != NULL);
    CHECK_EQ(event.reserved, 0);
    close(plain);
    close(query);
    wsengine_free(server);
}

static void messages_are_echoed(void)
{
    wsengine_t *server = start(NULL);
    wsengine_event_t event;
    uint64_t conn;
    int fd = open_to(server, &conn);

    ws_send_text(fd, "Gr\xc3\xbc\xc3\x9f" "e");
    event = expect(server, WSENGINE_EVENT_MESSAGE);
    CHECK_EQ(event.conn, conn);
    CHECK_EQ(event.kind, WSENGINE_TEXT);
    CHECK(event_says(&event, "Gr\xc3\xbc\xc3\x9f" "e"));
    CHECK_EQ(wsengine_send(server, conn, event.kind, event.data, event.len), WSENGINE_OK);
    CHECK(ws_receives(fd, WS_TEXT, "Gr\xc3\xbc\xc3\x9f" "e"));

    ws_send(fd, WS_BINARY, "\0\xff\0", 3);
    event = expect(server, WSENGINE_EVENT_MESSAGE);
    CHECK_EQ(event.kind, WSENGINE_BINARY);
    CHECK(event.len == 3 && memcmp(event.data, "\0\xff\0", 3) == 0);

    ws_send_text(fd, "");
    event = expect(server, WSENGINE_EVENT_MESSAGE);
    CHECK_EQ(event.len, 0);
    CHECK(event.data != NULL);
    CHECK_EQ(wsengine_send(server, conn, WSENGINE_TEXT, NULL, 0), WSENGINE_OK);
    CHECK(ws_receives(fd, WS_TEXT, ""));
    close(fd);
    wsengine_free(server);
}

static void a_large_message_goes_both_ways(void)
{
    enum { SIZE = 1 << 20 };
    wsengine_t *server = start(NULL);
    wsengine_event_t event;
    uint8_t *out = malloc(SIZE), *in = malloc(SIZE + 1);
    size_t i, len = 0;
    uint64_t conn;
    int fd = open_to(server, &conn);

    CHECK(out != NULL && in != NULL);
    for (i = 0; i < SIZE; i++)
        out[i] = (uint8_t)(i * 31 >> 3);
    CHECK_EQ(ws_send(fd, WS_BINARY, out, SIZE), 0);
    event = expect(server, WSENGINE_EVENT_MESSAGE);
    CHECK(event.len == SIZE && memcmp(event.data, out, SIZE) == 0);
    CHECK_EQ(wsengine_send(server, conn, WSENGINE_BINARY, event.data, event.len), WSENGINE_OK);
    CHECK_EQ(ws_receive(fd, in, SIZE + 1, &len), WS_BINARY);
    CHECK(len == SIZE && memcmp(in, out, SIZE) == 0);
    free(out);
    free(in);
    close(fd);
    wsengine_free(server);
}

static void what_is_sent_is_copied(void)
{
    wsengine_t *server = start(NULL);
    char text[] = "before";
    uint64_t conn;
    int fd = open_to(server, &conn);

    CHECK_EQ(send_text(server, conn, text), WSENGINE_OK);
    memset(text, 'x', sizeof text - 1);
    CHECK(ws_receives(fd, WS_TEXT, "before"));
    close(fd);
    wsengine_free(server);
}

static void a_broadcast_reaches_all_or_all_but_one(void)
{
    enum { CLIENTS = 5 };
    wsengine_t *server = start("io_threads", "2", NULL);
    uint64_t conn[CLIENTS];
    int fd[CLIENTS], i;

    CHECK_EQ(wsengine_broadcast(server, WSENGINE_TEXT, "nobody", 6), 0);
    for (i = 0; i < CLIENTS; i++)
        fd[i] = open_to(server, &conn[i]);
    CHECK_EQ(wsengine_broadcast(server, WSENGINE_TEXT, "all", 3), CLIENTS);
    CHECK_EQ(wsengine_broadcast_except(server, conn[2], WSENGINE_BINARY, "some", 4), CLIENTS - 1);
    CHECK_EQ(wsengine_broadcast_except(server, 12345, WSENGINE_TEXT, "end", 3), CLIENTS);
    for (i = 0; i < CLIENTS; i++) {
        CHECK(ws_receives(fd[i], WS_TEXT, "all"));
        CHECK(i == 2 || ws_receives(fd[i], WS_BINARY, "some"));
        CHECK(ws_receives(fd[i], WS_TEXT, "end"));
        close(fd[i]);
    }
    wsengine_free(server);
}

static void a_full_queue_says_so_and_drains_with_nothing_lost(void)
{
    enum { SIZE = 32 * 1024, MOST = 4000 };
    wsengine_t *server = start("send_queue_bytes", "262144", "write_stall_ms", "60000", NULL);
    uint8_t *message = malloc(SIZE + 1);
    wsengine_event_t event;
    size_t len = 0;
    uint64_t conn;
    int sent, received, result = WSENGINE_OK, fd = open_to(server, &conn);

    CHECK(message != NULL);
    memset(message, 'x', SIZE);
    CHECK_EQ(wsengine_buffered(server, conn), 0);
    /* The system's own buffers take some megabytes before ours fills. */
    for (sent = 0; sent < MOST; sent++) {
        memcpy(message, &sent, sizeof sent);
        while ((result = wsengine_send(server, conn, WSENGINE_BINARY, message, SIZE)) == WSENGINE_ERR_WOULD_BLOCK) {
            /* A full queue may drain at once while the system takes more: go on until it does not. */
            if (wsengine_poll_event(server, &event, 500) == 0)
                break;
            CHECK_EQ(event.type, WSENGINE_EVENT_DRAIN);
        }
        if (result != WSENGINE_OK)
            break;
    }
    CHECK_EQ(result, WSENGINE_ERR_WOULD_BLOCK);
    CHECK(wsengine_buffered(server, conn) > 0 && wsengine_buffered(server, conn) <= 262144 + 4096);

    for (received = 0; received < sent; received++) {
        int number;
        CHECK_EQ(ws_receive(fd, message, SIZE + 1, &len), WS_BINARY);
        memcpy(&number, message, sizeof number);
        CHECK_EQ(number, received);
    }
    event = expect(server, WSENGINE_EVENT_DRAIN);
    CHECK_EQ(event.conn, conn);
    CHECK_EQ(event.code, 0);
    CHECK_EQ(send_text(server, conn, "again"), WSENGINE_OK);
    CHECK(ws_receives(fd, WS_TEXT, "again"));
    free(message);
    close(fd);
    wsengine_free(server);
}

static void a_drain_says_what_broadcasts_left_out(void)
{
    enum { SIZE = 32 * 1024, MOST = 4000 };
    wsengine_t *server = start("slow_consumer", "drop_newest", "send_queue_bytes", "262144", "write_stall_ms",
                               "60000", NULL);
    char *message = calloc(1, SIZE + 1);
    wsengine_event_t event;
    wsengine_stats_t stats;
    size_t len;
    uint64_t conn;
    struct pollfd ready[2] = { { 0, POLLIN, 0 }, { 0, POLLIN, 0 } };
    int sent = 0, received = 0, left_out, status, fd = open_to(server, &conn);

    CHECK(message != NULL);
    do {
        CHECK_EQ(wsengine_broadcast(server, WSENGINE_BINARY, message, SIZE), 1);
        sent++;
        stats.struct_size = sizeof stats;
        CHECK_EQ(wsengine_stats(server, &stats), WSENGINE_OK);
    } while (stats.messages_dropped == 0 && sent < MOST);
    CHECK(stats.messages_dropped > 0);
    ready[0].fd = wsengine_event_fd(server);
    ready[1].fd = fd;
    while (wsengine_poll_event(server, &event, 0) == 0) {
        CHECK(poll(ready, 2, WAIT_MS) > 0);
        if (ready[1].revents != 0) {
            CHECK_EQ(ws_receive(fd, message, SIZE + 1, &len), WS_BINARY);
            received++;
        }
    }
    CHECK_EQ(event.type, WSENGINE_EVENT_DRAIN);
    CHECK_EQ(event.conn, conn);
    CHECK(event.code > 0);
    left_out = event.code;
    /* The last broadcasts may have been on their way when there was room: then there is none again. */
    while ((status = send_text(server, conn, "end")) == WSENGINE_ERR_WOULD_BLOCK) {
        CHECK_EQ(ws_receive(fd, message, SIZE + 1, &len), WS_BINARY);
        received++;
    }
    CHECK_EQ(status, WSENGINE_OK);
    while (ws_receive(fd, message, SIZE + 1, &len) == WS_BINARY)
        received++;
    CHECK_TEXT(message, "end");
    while (received != sent - left_out) {
        event = expect(server, WSENGINE_EVENT_DRAIN);
        CHECK(event.code > 0);
        left_out += event.code;
    }
    free(message);
    close(fd);
    wsengine_free(server);
}

static void ids_are_never_given_again(void)
{
    enum { ROUNDS = 20 };
    wsengine_t *server = start(NULL);
    uint64_t seen[ROUNDS];
    int i, j;

    for (i = 0; i < ROUNDS; i++) {
        int fd = open_to(server, &seen[i]);
        for (j = 0; j < i; j++)
            CHECK(seen[i] != seen[j]);
        CHECK_EQ(wsengine_is_open(server, seen[i]), 1);
        close(fd);
        CHECK_EQ(expect(server, WSENGINE_EVENT_CLOSE).conn, seen[i]);
        CHECK_EQ(wsengine_is_open(server, seen[i]), 0);
    }
    wsengine_free(server);
}

static void time_goes_forward(void)
{
    wsengine_t *server = start(NULL);
    uint64_t last = 0, conn;
    int i, fd = open_to(server, &conn);

    for (i = 0; i < 10; i++) {
        uint64_t time;
        ws_send_text(fd, "tick");
        time = expect(server, WSENGINE_EVENT_MESSAGE).time_us;
        CHECK(time >= last && time < (uint64_t)TEST_SECONDS * 1000000);
        last = time;
    }
    CHECK(last > 0);
    close(fd);
    wsengine_free(server);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(an_open_event_has_the_target),
        TEST(messages_are_echoed),
        TEST(a_large_message_goes_both_ways),
        TEST(what_is_sent_is_copied),
        TEST(a_broadcast_reaches_all_or_all_but_one),
        TEST(a_full_queue_says_so_and_drains_with_nothing_lost),
        TEST(a_drain_says_what_broadcasts_left_out),
        TEST(ids_are_never_given_again),
        TEST(time_goes_forward),
    };
    return RUN_TESTS(tests);
}
