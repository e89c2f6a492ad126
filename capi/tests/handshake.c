/* handshake.c - the option handshake_events: what a client asks for, and what the program decides */
#include "test.h"

#define OFFER "Sec-WebSocket-Protocol: chat.v2, chat.v1\r\n"

/* A client that has sent its request, and the event by which the program is asked. */
static int ask(wsengine_t *server, const char *target, const char *headers, wsengine_event_t *event)
{
    int fd = ws_ask(wsengine_port(server), target, headers);

    CHECK(fd >= 0);
    *event = expect(server, WSENGINE_EVENT_HANDSHAKE);
    CHECK(event->conn > 0);
    return fd;
}

/* The head of the answer, whose status must be this. */
static const char *answered(int fd, int status)
{
    static char head[2048];

    CHECK_EQ(ws_answer(fd, head, sizeof head), status);
    return head;
}

static const char *header(wsengine_t *server, wsengine_event_t event, const char *name)
{
    return wsengine_request_header(server, event.request, name);
}

static const char *cookie(wsengine_t *server, wsengine_event_t event, const char *name)
{
    return wsengine_request_cookie(server, event.request, name);
}

static void the_request_can_be_looked_up(void)
{
    wsengine_t *server = start("handshake_events", "on", NULL);
    wsengine_event_t event;
    char host[32];
    int fd = ask(server, "/room/7?name=x&y",
                 "X-Many: one\r\nx-many: two\r\nX-Empty:\r\nCookie: token=abc; theme=\"dark\"\r\nCookie: token=later\r\n"
                 OFFER, &event);
    const char *many = header(server, event, "x-many");

    CHECK(event_says(&event, "/room/7?name=x&y"));
    CHECK_TEXT(many, "one, two");
    CHECK_TEXT(header(server, event, "X-MANY"), "one, two");
    CHECK_TEXT(header(server, event, "x-empty"), "");
    CHECK_TEXT(header(server, event, "cookie"), "token=abc; theme=\"dark\"; token=later");
    CHECK_TEXT(header(server, event, "sec-websocket-protocol"), "chat.v2, chat.v1");
    CHECK(header(server, event, "origin") == NULL);
    CHECK(header(server, event, "not a name") == NULL);
    CHECK(header(server, event, "") == NULL);
    snprintf(host, sizeof host, "127.0.0.1:%d", wsengine_port(server));
    CHECK_TEXT(header(server, event, "host"), host);

    CHECK_TEXT(cookie(server, event, "token"), "abc");
    CHECK_TEXT(cookie(server, event, "theme"), "dark");
    CHECK(cookie(server, event, "Token") == NULL);
    CHECK(cookie(server, event, "") == NULL);
    CHECK_TEXT(many, "one, two"); /* still there after all these */
    close(fd);
    wsengine_free(server);
}

static void what_is_no_header_has_a_colon_before_it(void)
{
    wsengine_t *server = start("handshake_events", "on", "subprotocols", "chat.v1", NULL);
    wsengine_event_t event, open;
    uint64_t conn;
    int fd = ask(server, "/room/7?name=x&y", OFFER, &event);

    conn = event.conn;
    CHECK_TEXT(header(server, event, ":method"), "GET");
    CHECK_TEXT(header(server, event, ":path"), "/room/7");
    CHECK_TEXT(header(server, event, ":query"), "name=x&y");
    CHECK_TEXT(header(server, event, ":scheme"), "ws");
    CHECK(strncmp(header(server, event, ":peer"), "127.0.0.1:", 10) == 0);
    CHECK(header(server, event, ":subprotocol") == NULL);
    CHECK(header(server, event, ":other") == NULL);

    CHECK_EQ(wsengine_accept(server, conn, NULL, NULL), WSENGINE_OK);
    answered(fd, 101);
    open = expect(server, WSENGINE_EVENT_OPEN);
    CHECK_EQ(open.conn, conn);
    CHECK_TEXT(header(server, open, ":subprotocol"), "chat.v1");
    CHECK_TEXT(header(server, open, ":path"), "/room/7");
    ws_send_text(fd, "hello");
    CHECK(expect(server, WSENGINE_EVENT_MESSAGE).request == NULL);
    close(fd);
    wsengine_free(server);
}

static void a_look_up_of_nothing_is_an_error(void)
{
    wsengine_t *server = start("handshake_events", "on", NULL);
    wsengine_event_t event;
    int fd = ask(server, "/", "", &event);

    CHECK(wsengine_request_header(server, NULL, "host") == NULL);
    CHECK_TEXT(wsengine_last_error(), "request is NULL");
    CHECK(wsengine_request_cookie(server, event.request, NULL) == NULL);
    CHECK_TEXT(wsengine_last_error(), "name is NULL");
    CHECK(wsengine_request_header(NULL, event.request, "host") == NULL);
    CHECK_TEXT(wsengine_last_error(), "server is NULL");
    close(fd);
    wsengine_free(server);
}

static void a_client_is_let_in(void)
{
    wsengine_t *server = start("handshake_events", "on", NULL);
    wsengine_event_t event;
    uint64_t conn;
    const char *head;
    int fd = ask(server, "/", OFFER, &event);

    conn = event.conn;
    CHECK_EQ(send_text(server, conn, "early"), WSENGINE_ERR_NOT_CONNECTED);
    CHECK_EQ(wsengine_close(server, conn, 1000, NULL), WSENGINE_ERR_NOT_CONNECTED);
    CHECK_EQ(wsengine_is_open(server, conn), 0);
    CHECK_EQ(wsengine_accept(server, conn, "chat.v1", "Set-Cookie: a=1; Path=/\r\nSet-Cookie:b=2\n\r\n"), WSENGINE_OK);
    head = answered(fd, 101);
    CHECK_HAS(head, "\r\nsec-websocket-protocol: chat.v1\r\n");
    CHECK_HAS(head, "\r\nset-cookie: a=1; Path=/\r\n");
    CHECK_HAS(head, "\r\nset-cookie: b=2\r\n");
    CHECK_EQ(expect(server, WSENGINE_EVENT_OPEN).conn, conn);
    CHECK_EQ(send_text(server, conn, "welcome"), WSENGINE_OK);
    CHECK(ws_receives(fd, WS_TEXT, "welcome"));
    close(fd);
    wsengine_free(server);
}

static void a_client_is_turned_away(void)
{
    wsengine_t *server = start("handshake_events", "on", NULL);
    wsengine_event_t event;
    char body[32] = { 0 };
    const char *head;
    int fd = ask(server, "/", "", &event);

    CHECK_EQ(wsengine_reject(server, event.conn, 401, "Who are you?", "WWW-Authenticate: Bearer\r\n"), WSENGINE_OK);
    head = answered(fd, 401);
    CHECK_HAS(head, "\r\nwww-authenticate: Bearer\r\n");
    CHECK_HAS(head, "\r\ncontent-length: 12\r\n");
    CHECK_EQ(ws_read(fd, body, 12), 0);
    CHECK_TEXT(body, "Who are you?");
    CHECK(ws_ended(fd));
    close(fd);

    fd = ask(server, "/", "", &event);
    CHECK_EQ(wsengine_reject(server, event.conn, 599, NULL, NULL), WSENGINE_OK);
    CHECK_HAS(answered(fd, 599), "\r\ncontent-length: 0\r\n");
    close(fd);
    CHECK_EQ(wsengine_poll_event(server, &event, 0), 0);
    wsengine_free(server);
}

static void a_decision_is_made_once(void)
{
    static const uint64_t unknown[] = { 0, 1, 999, UINT64_MAX / 2, UINT64_MAX };
    wsengine_t *server = start("handshake_events", "on", NULL);
    wsengine_event_t event;
    size_t i;
    int fd = ask(server, "/", "", &event);

    CHECK_EQ(wsengine_accept(server, event.conn, NULL, NULL), WSENGINE_OK);
    CHECK_EQ(wsengine_accept(server, event.conn, NULL, NULL), WSENGINE_ERR_DECIDED);
    CHECK_EQ(wsengine_reject(server, event.conn, 403, NULL, NULL), WSENGINE_ERR_DECIDED);
    CHECK_TEXT(wsengine_last_error(), wsengine_strerror(WSENGINE_ERR_DECIDED));
    answered(fd, 101);
    for (i = 0; i < sizeof unknown / sizeof *unknown; i++)
        CHECK_EQ(wsengine_accept(server, unknown[i], NULL, NULL), WSENGINE_ERR_DECIDED);
    close(fd);
    wsengine_free(server);
}

static void who_is_not_decided_on_is_refused_in_time(void)
{
    wsengine_t *server = start("handshake_events", "on", "handshake_timeout_ms", "500", NULL);
    wsengine_event_t event;
    int fd = ask(server, "/", "", &event);

    answered(fd, 408);
    CHECK_EQ(wsengine_accept(server, event.conn, NULL, NULL), WSENGINE_ERR_DECIDED);
    CHECK_EQ(wsengine_poll_event(server, &event, 0), 0);
    close(fd);
    wsengine_free(server);
}

static void a_stop_does_not_wait_for_decisions(void)
{
    wsengine_t *server = start("handshake_events", "on", NULL);
    wsengine_event_t event;
    int fd = ask(server, "/", "", &event);

    CHECK_EQ(wsengine_stop(server, 0), WSENGINE_OK);
    CHECK_EQ(wsengine_accept(server, event.conn, NULL, NULL), WSENGINE_ERR_STOPPED);
    expect(server, WSENGINE_EVENT_STOPPED);
    CHECK(ws_ended(fd));
    close(fd);
    wsengine_free(server);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(the_request_can_be_looked_up),
        TEST(what_is_no_header_has_a_colon_before_it),
        TEST(a_look_up_of_nothing_is_an_error),
        TEST(a_client_is_let_in),
        TEST(a_client_is_turned_away),
        TEST(a_decision_is_made_once),
        TEST(who_is_not_decided_on_is_refused_in_time),
        TEST(a_stop_does_not_wait_for_decisions),
    };
    return RUN_TESTS(tests);
}
