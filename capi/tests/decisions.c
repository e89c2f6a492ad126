/* decisions.c - decisions on handshakes: by other threads than the one that polls, and those that cannot be made */
#include "test.h"

enum { CLIENTS = 20, THREADS = 4 };

static wsengine_t *server;
static int decided;

/* Lets every second client in whose id comes out of the pipe. */
static void *doorkeeper(void *from)
{
    uint64_t conn;
    int i;

    for (i = 0; read(*(int *)from, &conn, sizeof conn) == (ssize_t)sizeof conn; i++)
        decided += (i % 2 == 0 ? wsengine_accept(server, conn, NULL, NULL)
                               : wsengine_reject(server, conn, 403, "full", NULL)) == WSENGINE_OK;
    return NULL;
}

static void another_thread_decides(void)
{
    int clients[CLIENTS], conns[2], accepted = 0, rejected = 0, i;
    char head[1024];
    pthread_t thread;

    server = start("handshake_events", "on", NULL);
    decided = 0;
    CHECK_EQ(pipe(conns), 0);
    CHECK_EQ(pthread_create(&thread, NULL, doorkeeper, &conns[0]), 0);
    for (i = 0; i < CLIENTS; i++) {
        clients[i] = ws_ask(wsengine_port(server), "/", "");
        CHECK(clients[i] >= 0);
    }
    for (i = 0; i < CLIENTS + CLIENTS / 2; i++) {
        wsengine_event_t event;
        CHECK_EQ(wsengine_poll_event(server, &event, WAIT_MS), 1);
        if (event.type == WSENGINE_EVENT_HANDSHAKE)
            CHECK_EQ(write(conns[1], &event.conn, sizeof event.conn), sizeof event.conn);
        else
            CHECK_EQ(event.type, WSENGINE_EVENT_OPEN);
    }
    close(conns[1]);
    pthread_join(thread, NULL);
    CHECK_EQ(decided, CLIENTS);
    for (i = 0; i < CLIENTS; i++) {
        int status = ws_answer(clients[i], head, sizeof head);
        accepted += status == 101;
        rejected += status == 403;
        close(clients[i]);
    }
    CHECK_EQ(accepted, CLIENTS / 2);
    CHECK_EQ(rejected, CLIENTS / 2);
    close(conns[0]);
    wsengine_free(server);
}

static void *decide_too(void *conn)
{
    int result = wsengine_accept(server, *(uint64_t *)conn, NULL, NULL);

    if (result == WSENGINE_OK)
        __atomic_add_fetch(&decided, 1, __ATOMIC_RELAXED);
    else if (result != WSENGINE_ERR_DECIDED)
        __atomic_add_fetch(&decided, 100, __ATOMIC_RELAXED);
    return NULL;
}

static void of_several_threads_one_decides(void)
{
    pthread_t threads[THREADS];
    uint64_t conn;
    int i, fd;

    server = start("handshake_events", "on", NULL);
    decided = 0;
    fd = ws_ask(wsengine_port(server), "/", "");
    CHECK(fd >= 0);
    conn = expect(server, WSENGINE_EVENT_HANDSHAKE).conn;
    for (i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, decide_too, &conn), 0);
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(decided, 1);
    CHECK_EQ(expect(server, WSENGINE_EVENT_OPEN).conn, conn);
    close(fd);
    wsengine_free(server);
}

static void what_cannot_be_sent_is_refused_and_decides_nothing(void)
{
    static const struct {
        const char *headers, *error;
    } wrong[] = {
        { "Set-Cookie", "header line \"Set-Cookie\" has no colon; lines are as \"Name: value\\r\\n\"" },
        { "A: b\r\n folded", "header line \" folded\" has no colon; lines are as \"Name: value\\r\\n\"" },
        { "Set Cookie: a", "header \"Set Cookie\": the name is not a token of HTTP, such as Set-Cookie" },
        { ": a", "header \"\": the name is not a token of HTTP, such as Set-Cookie" },
        { "A : b", "header \"A \": the name is not a token of HTTP, such as Set-Cookie" },
        { "A: b\rc", "header \"A\": the value \"b\\rc\" has control characters, such as a line break" },
        { "A: b\x01", "header \"A\": the value \"b\\u{1}\" has control characters, such as a line break" },
        { "connection: close", "header \"connection\": it is for the engine to set" },
        { "Sec-WebSocket-Accept: x", "header \"Sec-WebSocket-Accept\": it is for the engine to set" },
        { "A: \xff", "headers is not UTF-8" },
    };
    static const struct {
        int status;
        const char *error;
    } no_rejection[] = {
        { -1, "status is -1, which is none of HTTP" },
        { 65936, "status is 65936, which is none of HTTP" },
        { 0, "a handshake cannot be rejected with status 0; allowed are 300 to 599" },
        { 200, "a handshake cannot be rejected with status 200; allowed are 300 to 599" },
        { 299, "a handshake cannot be rejected with status 299; allowed are 300 to 599" },
        { 600, "a handshake cannot be rejected with status 600; allowed are 300 to 599" },
    };
    uint64_t conn;
    size_t i;
    int fd;

    server = start("handshake_events", "on", NULL);
    fd = ws_ask(wsengine_port(server), "/", "Sec-WebSocket-Protocol: chat.v2, chat.v1\r\n");
    CHECK(fd >= 0);
    conn = expect(server, WSENGINE_EVENT_HANDSHAKE).conn;
    for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_EQ(wsengine_accept(server, conn, NULL, wrong[i].headers), WSENGINE_ERR_INVALID);
        CHECK_TEXT(wsengine_last_error(), wrong[i].error);
        CHECK_EQ(wsengine_reject(server, conn, 403, NULL, wrong[i].headers), WSENGINE_ERR_INVALID);
        CHECK_TEXT(wsengine_last_error(), wrong[i].error);
    }
    for (i = 0; i < sizeof no_rejection / sizeof *no_rejection; i++) {
        CHECK_EQ(wsengine_reject(server, conn, no_rejection[i].status, NULL, NULL), WSENGINE_ERR_INVALID);
        CHECK_TEXT(wsengine_last_error(), no_rejection[i].error);
    }
    CHECK_EQ(wsengine_accept(server, conn, "chat.v9", NULL), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "subprotocol \"chat.v9\" was not offered; the client offers chat.v2, chat.v1");
    CHECK_EQ(wsengine_accept(server, conn, "\xff", NULL), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "subprotocol is not UTF-8");
    CHECK_EQ(wsengine_reject(server, conn, 403, "\xff", NULL), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "body is not UTF-8");

    CHECK_EQ(wsengine_accept(server, conn, NULL, ""), WSENGINE_OK);
    CHECK_EQ(expect(server, WSENGINE_EVENT_OPEN).conn, conn);
    close(fd);
    wsengine_free(server);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(another_thread_decides),
        TEST(of_several_threads_one_decides),
        TEST(what_cannot_be_sent_is_refused_and_decides_nothing),
    };
    return RUN_TESTS(tests);
}
