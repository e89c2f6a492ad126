/* lifecycle.c - start, where it listens, stop, free, several servers, counters */
#include "test.h"

static void the_header_fits_the_library(void)
{
    CHECK_EQ(wsengine_version_number(), WSENGINE_VERSION_NUMBER);
    CHECK_TEXT(wsengine_version(), WSENGINE_VERSION_STRING);
}

static void a_server_starts_stops_and_is_freed(void)
{
    wsengine_t *server = start(NULL);
    char address[64];
    wsengine_event_t event;

    CHECK(wsengine_port(server) > 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", wsengine_port(server));
    CHECK_TEXT(wsengine_address(server, 0), address);
    CHECK(wsengine_address(server, 1) == NULL);

    CHECK_EQ(wsengine_stop(server, -1), WSENGINE_OK);
    event = expect(server, WSENGINE_EVENT_STOPPED);
    CHECK_EQ(event.conn, 0);
    CHECK_EQ(wsengine_poll_event(server, &event, -1), WSENGINE_ERR_STOPPED);
    CHECK_EQ(wsengine_poll_event(server, &event, 0), WSENGINE_ERR_STOPPED);
    CHECK_EQ(wsengine_stop(server, 0), WSENGINE_OK);
    wsengine_free(server);
}

static void free_needs_no_stop_and_leaves_nothing_behind(void)
{
    int before, descriptors, i;

    wsengine_free(start(NULL)); /* what is made once for the process is made by now */
    before = threads();
    descriptors = entries("/proc/self/fd");
    for (i = 0; i < 5; i++) {
        wsengine_t *server = start("io_threads", "2", NULL);
        int fd = connect_to(server);
        ws_send_text(fd, "never polled");
        wsengine_free(server);
        CHECK(ws_ends(fd));
        close(fd);
    }
    CHECK_EQ(entries("/proc/self/fd"), descriptors);
    CHECK(threads_come_down_to(before));
}

static void the_port_is_free_again_at_once(void)
{
    wsengine_t *server = start(NULL);
    char address[64];
    uint64_t conn;
    int fd = open_to(server, &conn);

    snprintf(address, sizeof address, "127.0.0.1:%d", wsengine_port(server));
    wsengine_free(server);
    server = start("listen", address, NULL);
    CHECK_TEXT(wsengine_address(server, 0), address);
    wsengine_free(server);
    close(fd);
}

static void freeing_null_is_allowed(void)
{
    wsengine_config_free(NULL);
    wsengine_free(NULL);
}

static void a_server_listens_on_several_addresses(void)
{
    wsengine_t *server = start("listen", "127.0.0.1:0, 127.0.0.1:0", NULL);
    const char *second = wsengine_address(server, 1);
    uint64_t conn;
    int fd;

    CHECK(second != NULL && strcmp(second, wsengine_address(server, 0)) != 0);
    CHECK(wsengine_address(server, 2) == NULL);
    fd = ws_open(atoi(strrchr(second, ':') + 1), "/");
    CHECK(fd >= 0);
    conn = expect(server, WSENGINE_EVENT_OPEN).conn;
    CHECK_EQ(send_text(server, conn, "here too"), WSENGINE_OK);
    CHECK(ws_receives(fd, WS_TEXT, "here too"));
    close(fd);
    wsengine_free(server);
}

static void one_config_starts_several_servers(void)
{
    wsengine_config_t *config = wsengine_config_new();
    wsengine_t *one = NULL, *two = NULL;

    CHECK_EQ(wsengine_config_set(config, "listen", "127.0.0.1:0"), WSENGINE_OK);
    CHECK_EQ(wsengine_start(config, &one), WSENGINE_OK);
    CHECK_EQ(wsengine_start(config, &two), WSENGINE_OK);
    wsengine_config_free(config);
    CHECK(wsengine_port(one) != wsengine_port(two));
    wsengine_free(two);
    wsengine_free(one);
}

static void two_servers_do_not_touch_each_other(void)
{
    wsengine_t *one = start(NULL), *two = start(NULL);
    wsengine_event_t event;
    uint64_t conn_one, conn_two;
    int fd_one = open_to(one, &conn_one), fd_two = open_to(two, &conn_two);

    CHECK_EQ(wsengine_broadcast(one, WSENGINE_TEXT, "one", 3), 1);
    CHECK_EQ(wsengine_broadcast(two, WSENGINE_TEXT, "two", 3), 1);
    CHECK(ws_receives(fd_one, WS_TEXT, "one"));
    CHECK(ws_receives(fd_two, WS_TEXT, "two"));

    wsengine_stop(one, 0);
    expect(one, WSENGINE_EVENT_CLOSE);
    expect(one, WSENGINE_EVENT_STOPPED);
    wsengine_free(one);

    CHECK_EQ(wsengine_poll_event(two, &event, 0), 0);
    CHECK_EQ(send_text(two, conn_two, "still here"), WSENGINE_OK);
    CHECK(ws_receives(fd_two, WS_TEXT, "still here"));
    wsengine_free(two);
    close(fd_one);
    close(fd_two);
}

static void a_stop_says_goodbye(void)
{
    wsengine_t *server = start(NULL);
    wsengine_event_t event;
    uint64_t conn;
    int fd = open_to(server, &conn);

    CHECK_EQ(send_text(server, conn, "queued before"), WSENGINE_OK);
    CHECK_EQ(wsengine_stop(server, WAIT_MS), WSENGINE_OK);
    CHECK_EQ(wsengine_broadcast(server, WSENGINE_TEXT, "x", 1), WSENGINE_ERR_STOPPED);
    CHECK(ws_receives(fd, WS_TEXT, "queued before"));
    CHECK(ws_receives_close(fd, 1001, ""));
    CHECK_EQ(ws_send_close(fd, 1001, ""), 0);
    event = expect(server, WSENGINE_EVENT_CLOSE);
    CHECK_EQ(event.conn, conn);
    CHECK_EQ(event.code, 1001);
    CHECK_EQ(event.flags, WSENGINE_FLAG_CLEAN);
    expect(server, WSENGINE_EVENT_STOPPED);
    CHECK(ws_ended(fd));
    CHECK(ws_connect(wsengine_port(server)) < 0);
    wsengine_free(server);
    close(fd);
}

static void a_stop_cuts_who_does_not_answer(void)
{
    wsengine_t *server = start(NULL);
    wsengine_event_t event;
    uint64_t conn;
    int fd = open_to(server, &conn);
    int64_t begun = now_ms();

    CHECK_EQ(wsengine_stop(server, WAIT_MS), WSENGINE_OK);
    CHECK_EQ(wsengine_stop(server, 100), WSENGINE_OK);
    CHECK(ws_receives_close(fd, 1001, ""));
    CHECK_EQ(wsengine_stop(server, WAIT_MS), WSENGINE_OK); /* takes nothing back */
    event = expect(server, WSENGINE_EVENT_CLOSE);
    CHECK_EQ(event.flags, 0);
    expect(server, WSENGINE_EVENT_STOPPED);
    CHECK(now_ms() - begun >= 90 && now_ms() - begun < WAIT_MS / 2);
    wsengine_free(server);
    close(fd);
}

static void counters_count(void)
{
    wsengine_t *server = start(NULL);
    wsengine_stats_t stats;
    uint64_t conn;
    int fd = open_to(server, &conn);

    ws_send_text(fd, "12345");
    expect(server, WSENGINE_EVENT_MESSAGE);
    CHECK_EQ(send_text(server, conn, "abc"), WSENGINE_OK);
    CHECK(ws_receives(fd, WS_TEXT, "abc"));
    /* What is sent is counted a moment after the peer may have it. */
    for (int tries = 0; tries < 5000; tries++) {
        stats.struct_size = sizeof stats;
        CHECK_EQ(wsengine_stats(server, &stats), WSENGINE_OK);
        if (stats.messages_out > 0)
            break;
        sleep_ms(1);
    }
    CHECK_EQ(stats.struct_size, sizeof stats);
    CHECK_EQ(stats.connections, 1);
    CHECK_EQ(stats.opened, 1);
    CHECK_EQ(stats.closed, 0);
    CHECK_EQ(stats.messages_in, 1);
    CHECK_EQ(stats.bytes_in, 5);
    CHECK_EQ(stats.messages_out, 1);
    CHECK_EQ(stats.events_pending, 0);
    close(fd);
    wsengine_free(server);
}

static void counters_fill_no_more_than_is_asked_for(void)
{
    wsengine_t *server = start(NULL);
    wsengine_stats_t stats[2];

    memset(stats, 0x55, sizeof stats);
    stats[0].struct_size = offsetof(wsengine_stats_t, handshakes);
    CHECK_EQ(wsengine_stats(server, &stats[0]), WSENGINE_OK);
    CHECK_EQ(stats[0].connections, 0);
    CHECK_EQ(stats[0].handshakes, 0x5555555555555555);

    stats[0].struct_size = sizeof stats; /* a program of a later version */
    CHECK_EQ(wsengine_stats(server, &stats[0]), WSENGINE_OK);
    CHECK_EQ(stats[0].struct_size, sizeof stats[0]);
    CHECK_EQ(stats[1].connections, 0x5555555555555555);

    stats[0].struct_size = 1;
    CHECK_EQ(wsengine_stats(server, &stats[0]), WSENGINE_ERR_INVALID);
    CHECK_HAS(wsengine_last_error(), "struct_size");
    wsengine_free(server);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(the_header_fits_the_library),
        TEST(a_server_starts_stops_and_is_freed),
        TEST(free_needs_no_stop_and_leaves_nothing_behind),
        TEST(the_port_is_free_again_at_once),
        TEST(freeing_null_is_allowed),
        TEST(a_server_listens_on_several_addresses),
        TEST(one_config_starts_several_servers),
        TEST(two_servers_do_not_touch_each_other),
        TEST(a_stop_says_goodbye),
        TEST(a_stop_cuts_who_does_not_answer),
        TEST(counters_count),
        TEST(counters_fill_no_more_than_is_asked_for),
    };
    return RUN_TESTS(tests);
}
