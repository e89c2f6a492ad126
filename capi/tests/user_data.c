/* user_data.c - the place for a pointer of the host's that each connection has */
#include "test.h"

#include <sched.h>

static wsengine_t *server;

static void it_is_the_same_place_from_open_to_close(void)
{
    wsengine_event_t event, other;
    void **place;
    int value, fd, fd_other;

    server = start(NULL);
    fd = connect_to(server);
    event = expect(server, WSENGINE_EVENT_OPEN);
    place = event.user_data;
    CHECK(place != NULL && *place == NULL);
    *place = &value;
    fd_other = connect_to(server);
    other = expect(server, WSENGINE_EVENT_OPEN);
    CHECK(other.user_data != place && *other.user_data == NULL);
    *other.user_data = server;
    ws_send_text(fd, "message");
    event = expect(server, WSENGINE_EVENT_MESSAGE);
    CHECK(event.user_data == place && *event.user_data == &value);
    close(fd);
    event = expect(server, WSENGINE_EVENT_CLOSE);
    CHECK(event.user_data == place && *event.user_data == &value);
    close(fd_other);
    event = expect(server, WSENGINE_EVENT_CLOSE);
    CHECK(*event.user_data == server);
    CHECK_EQ(wsengine_stop(server, 0), WSENGINE_OK);
    CHECK(expect(server, WSENGINE_EVENT_STOPPED).user_data == NULL);
    wsengine_free(server);
}

/* The events of many short connections, polled late, so that the opens and closes of one place come together: what was
 * set with OPEN is there with CLOSE, and nobody finds what is another's. */
static void it_holds_within_a_batch_and_is_empty_for_who_comes_next(void)
{
    enum { CONNECTIONS = 300, BATCH = 64 };
    static uint64_t ids[CONNECTIONS];
    wsengine_event_t events[BATCH];
    int i, n, opened = 0, closed = 0, messages = 0, largest = 0;

    server = start(NULL);
    for (i = 0; i < CONNECTIONS; i++) {
        int fd = connect_to(server);
        CHECK_EQ(ws_send_text(fd, "hello"), 0);
        CHECK_EQ(ws_send_close(fd, 1000, ""), 0);
        CHECK(ws_receives_close(fd, 1000, ""));
        close(fd);
    }
    while (closed < CONNECTIONS) {
        n = wsengine_poll_events(server, events, BATCH, WAIT_MS);
        CHECK(n > 0);
        largest = n > largest ? n : largest;
        for (i = 0; i < n; i++) {
            void **place = events[i].user_data;
            switch (events[i].type) {
            case WSENGINE_EVENT_OPEN:
                CHECK(*place == NULL);
                ids[opened] = events[i].conn;
                *place = &ids[opened++];
                break;
            case WSENGINE_EVENT_MESSAGE:
                CHECK(*place != NULL && *(uint64_t *)*place == events[i].conn);
                messages++;
                break;
            case WSENGINE_EVENT_CLOSE:
                CHECK(*place != NULL && *(uint64_t *)*place == events[i].conn);
                closed++;
                break;
            default:
                CHECK_EQ(events[i].type, WSENGINE_EVENT_OPEN);
            }
        }
    }
    CHECK_EQ(opened, CONNECTIONS);
    CHECK_EQ(messages, CONNECTIONS);
    CHECK(largest >= 3);
    wsengine_free(server);
}

static void a_handshake_has_none(void)
{
    wsengine_event_t event;
    char head[1024];
    int fd;

    server = start("handshake_events", "on", NULL);
    fd = ws_ask(wsengine_port(server), "/", "");
    event = expect(server, WSENGINE_EVENT_HANDSHAKE);
    CHECK(event.user_data == NULL);
    CHECK_EQ(wsengine_accept(server, event.conn, NULL, NULL), WSENGINE_OK);
    CHECK_EQ(ws_answer(fd, head, sizeof head), 101);
    CHECK(expect(server, WSENGINE_EVENT_OPEN).user_data != NULL);
    close(fd);
    wsengine_free(server);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(it_is_the_same_place_from_open_to_close),
        TEST(it_holds_within_a_batch_and_is_empty_for_who_comes_next),
        TEST(a_handshake_has_none),
    };
    return RUN_TESTS(tests);
}
