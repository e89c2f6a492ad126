/* closing.c - how a connection ends, from either side */
#include "test.h"

static void the_server_closes(void)
{
    wsengine_t *server = start(NULL);
    wsengine_event_t event;
    uint64_t conn;
    int fd = open_to(server, &conn);

    CHECK_EQ(wsengine_close(server, conn, 4001, "enough"), WSENGINE_OK);
    CHECK(ws_receives_close(fd, 4001, "enough"));
    CHECK_EQ(ws_send_close(fd, 4001, ""), 0);
    event = expect(server, WSENGINE_EVENT_CLOSE);
    CHECK_EQ(event.conn, conn);
    CHECK_EQ(event.code, 4001);
    CHECK(event_says(&event, "enough"));
    CHECK_EQ(event.flags, WSENGINE_FLAG_CLEAN);
    CHECK(ws_ended(fd));
    close(fd);
    wsengine_free(server);
}

static void the_peer_closes(void)
{
    wsengine_t *server = start(NULL);
    wsengine_event_t event;
    uint64_t conn;
    int fd = open_to(server, &conn);

    ws_send_text(fd, "last words");
    CHECK_EQ(ws_send_close(fd, 1000, "bye"), 0);
    event = expect(server, WSENGINE_EVENT_MESSAGE);
    CHECK(event_says(&event, "last words"));
    event = expect(server, WSENGINE_EVENT_CLOSE);
    CHECK_EQ(event.conn, conn);
    CHECK_EQ(event.code, 1000);
    CHECK(event_says(&event, "bye"));
    CHECK_EQ(event.flags, WSENGINE_FLAG_CLEAN);
    CHECK(ws_receives_close(fd, 1000, ""));
    CHECK(ws_ended(fd));
    close(fd);
    wsengine_free(server);
}

static void the_peer_closes_without_a_code(void)
{
    wsengine_t *server = start(NULL);
    wsengine_event_t event;
    uint64_t conn;
    int fd = open_to(server, &conn);

    CHECK_EQ(ws_send(fd, WS_CLOSE, "", 0), 0);
    event = expect(server, WSENGINE_EVENT_CLOSE);
    CHECK_EQ(event.code, 1005);
    CHECK_EQ(event.len, 0);
    CHECK_EQ(event.flags, WSENGINE_FLAG_CLEAN);
    close(fd);
    wsengine_free(server);
}

static void the_peer_vanishes(void)
{
    wsengine_t *server = start(NULL);
    wsengine_event_t event;
    uint64_t conn;

    close(open_to(server, &conn));
    event = expect(server, WSENGINE_EVENT_CLOSE);
    CHECK_EQ(event.conn, conn);
    CHECK_EQ(event.code, 1006);
    CHECK_EQ(event.flags, 0);

    ws_reset(open_to(server, &conn));
    event = expect(server, WSENGINE_EVENT_CLOSE);
    CHECK_EQ(event.conn, conn);
    CHECK_EQ(event.code, 1006);
    CHECK_EQ(event.flags, 0);
    wsengine_free(server);
}

static void the_server_aborts(void)
{
    wsengine_t *server = start(NULL);
    wsengine_event_t event;
    uint64_t conn;
    int fd = open_to(server, &conn);

    CHECK_EQ(wsengine_abort(server, conn), WSENGINE_OK);
    event = expect(server, WSENGINE_EVENT_CLOSE);
    CHECK_EQ(event.conn, conn);
    CHECK_EQ(event.code, 1006);
    CHECK_EQ(event.flags, 0);
    CHECK(ws_ended(fd));
    CHECK_EQ(send_text(server, conn, "x"), WSENGINE_ERR_NOT_CONNECTED);
    close(fd);
    wsengine_free(server);
}

static void a_close_comes_after_what_is_queued(void)
{
    enum { MESSAGES = 100 };
    wsengine_t *server = start(NULL);
    char text[32];
    uint64_t conn;
    int i, fd = open_to(server, &conn);

    for (i = 0; i < MESSAGES; i++) {
        snprintf(text, sizeof text, "message %d", i);
        CHECK_EQ(send_text(server, conn, text), WSENGINE_OK);
    }
    CHECK_EQ(wsengine_close(server, conn, 1000, NULL), WSENGINE_OK);
    for (i = 0; i < MESSAGES; i++) {
        snprintf(text, sizeof text, "message %d", i);
        CHECK(ws_receives(fd, WS_TEXT, text));
    }
    CHECK(ws_receives_close(fd, 1000, ""));
    close(fd);
    wsengine_free(server);
}

static void nothing_can_be_sent_after_a_close(void)
{
    wsengine_t *server = start(NULL);
    uint64_t conn;
    int fd = open_to(server, &conn);

    CHECK_EQ(wsengine_close(server, conn, 1000, NULL), WSENGINE_OK);
    CHECK_EQ(send_text(server, conn, "x"), WSENGINE_ERR_NOT_CONNECTED);
    CHECK_EQ(wsengine_close(server, conn, 1000, NULL), WSENGINE_ERR_NOT_CONNECTED);
    CHECK_EQ(wsengine_is_open(server, conn), 0);
    close(fd);
    wsengine_free(server);
}

static void a_breach_of_the_protocol_is_a_close(void)
{
    wsengine_t *server = start("max_message_bytes", "10", NULL);
    wsengine_event_t event;
    uint64_t conn;
    int fd = open_to(server, &conn);

    ws_send_text(fd, "more than ten");
    CHECK(ws_send_text(fd, "never delivered") <= 0);
    event = expect(server, WSENGINE_EVENT_CLOSE);
    CHECK_EQ(event.code, 1009);
    close(fd);
    wsengine_free(server);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(the_server_closes),
        TEST(the_peer_closes),
        TEST(the_peer_closes_without_a_code),
        TEST(the_peer_vanishes),
        TEST(the_server_aborts),
        TEST(a_close_comes_after_what_is_queued),
        TEST(nothing_can_be_sent_after_a_close),
        TEST(a_breach_of_the_protocol_is_a_close),
    };
    return RUN_TESTS(tests);
}
