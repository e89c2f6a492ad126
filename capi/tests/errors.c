/* errors.c - every mistake of a caller has an answer, and a text that says what is allowed */
#include "test.h"

static void null_handles_are_refused(void)
{
    wsengine_config_t *config = wsengine_config_new();
    wsengine_t *server = (wsengine_t *)&config;

    CHECK_EQ(wsengine_config_set(NULL, "listen", "127.0.0.1:0"), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "config is NULL");
    CHECK_EQ(wsengine_config_set(config, NULL, "127.0.0.1:0"), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "name is NULL");
    CHECK_EQ(wsengine_config_set(config, "listen", NULL), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "value is NULL");
    CHECK_EQ(wsengine_start(config, NULL), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "out is NULL");
    CHECK_EQ(wsengine_start(NULL, &server), WSENGINE_ERR_INVALID);
    CHECK(server == NULL);
    wsengine_config_free(config);
}

static void null_and_empty_buffers_are_refused(void)
{
    wsengine_t *server = start(NULL);
    wsengine_event_t event;

    CHECK_EQ(wsengine_poll_event(server, NULL, 0), WSENGINE_ERR_INVALID);
    CHECK_EQ(wsengine_poll_events(server, &event, 0, 0), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "max is 0");
    CHECK_EQ(wsengine_stats(server, NULL), WSENGINE_ERR_INVALID);
    CHECK_EQ(wsengine_broadcast(server, WSENGINE_TEXT, NULL, 1), WSENGINE_ERR_INVALID);
    CHECK_EQ(wsengine_broadcast(server, WSENGINE_TEXT, "", (size_t)-1), WSENGINE_ERR_INVALID);
    CHECK_EQ(wsengine_broadcast(server, WSENGINE_TEXT, NULL, 0), 0);
    wsengine_free(server);
}

static void an_unknown_option_suggests_the_nearest(void)
{
    wsengine_config_t *config = wsengine_config_new();

    CHECK_EQ(wsengine_config_set(config, "max_mesage_bytes", "1"), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "unknown option \"max_mesage_bytes\"; did you mean \"max_message_bytes\"?");
    CHECK_EQ(wsengine_config_set(config, "\xff", "1"), WSENGINE_ERR_INVALID);
    wsengine_config_free(config);
}

static void a_wrong_value_names_option_value_and_what_is_allowed(void)
{
    wsengine_config_t *config = wsengine_config_new();

    CHECK_EQ(wsengine_config_set(config, "io_threads", "many"), WSENGINE_ERR_INVALID);
    CHECK_HAS(wsengine_last_error(), "\"io_threads\"");
    CHECK_HAS(wsengine_last_error(), "\"many\"");
    CHECK_HAS(wsengine_last_error(), "a whole number from");
    CHECK_EQ(wsengine_config_set(config, "listen", "caf\xe9:1"), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "the value is not UTF-8");
    wsengine_config_free(config);
}

static void a_port_in_use_is_named_and_nothing_keeps_running(void)
{
    wsengine_t *server = start(NULL), *second = server;
    wsengine_config_t *config = wsengine_config_new();
    int before = threads(), descriptors = entries("/proc/self/fd");

    CHECK_EQ(wsengine_config_set(config, "listen", wsengine_address(server, 0)), WSENGINE_OK);
    CHECK_EQ(wsengine_start(config, &second), WSENGINE_ERR_IO);
    CHECK(second == NULL);
    CHECK_HAS(wsengine_last_error(), wsengine_address(server, 0));
    CHECK_HAS(wsengine_last_error(), "in use");
    CHECK(threads_come_down_to(before));
    CHECK_EQ(entries("/proc/self/fd"), descriptors);
    wsengine_config_free(config);
    wsengine_free(server);
}

static void *last_error_here(void *text)
{
    strcpy(text, wsengine_last_error());
    wsengine_port(NULL);
    return NULL;
}

static void the_last_error_belongs_to_its_thread(void)
{
    wsengine_config_t *config = wsengine_config_new();
    char other[200] = "not called";
    pthread_t thread;

    CHECK_EQ(wsengine_config_set(config, "nonsense", "1"), WSENGINE_ERR_INVALID);
    CHECK_EQ(pthread_create(&thread, NULL, last_error_here, other), 0);
    pthread_join(thread, NULL);
    CHECK_TEXT(other, "");
    CHECK_HAS(wsengine_last_error(), "nonsense");
    CHECK_EQ(wsengine_config_set(config, "io_threads", "1"), WSENGINE_OK);
    CHECK_HAS(wsengine_last_error(), "nonsense");
    wsengine_config_free(config);
}

static void each_error_has_a_text(void)
{
    static const int known[] = {
        WSENGINE_OK,           WSENGINE_ERR_INVALID,     WSENGINE_ERR_NOMEM,   WSENGINE_ERR_IO,
        WSENGINE_ERR_NOT_CONNECTED, WSENGINE_ERR_WOULD_BLOCK, WSENGINE_ERR_TOO_BIG, WSENGINE_ERR_UTF8,
        WSENGINE_ERR_STOPPED,  WSENGINE_ERR_BUSY,        WSENGINE_ERR_FORKED,  WSENGINE_ERR_DECIDED,
        WSENGINE_ERR_UNSUPPORTED, WSENGINE_ERR_INTERNAL,
    };
    size_t i;

    for (i = 0; i < sizeof known / sizeof *known; i++)
        CHECK(strcmp(wsengine_strerror(known[i]), "unknown error") != 0);
    CHECK_TEXT(wsengine_strerror(-99), "unknown error");
    CHECK_TEXT(wsengine_strerror(1), "unknown error");
}

static void the_numbers_of_errors_and_events_stay(void)
{
    CHECK_EQ(WSENGINE_ERR_INVALID, -1);
    CHECK_EQ(WSENGINE_ERR_WOULD_BLOCK, -5);
    CHECK_EQ(WSENGINE_ERR_FORKED, -10);
    CHECK_EQ(WSENGINE_ERR_DECIDED, -11);
    CHECK_EQ(WSENGINE_ERR_UNSUPPORTED, -12);
    CHECK_EQ(WSENGINE_ERR_INTERNAL, -13);
    CHECK_EQ(WSENGINE_EVENT_HANDSHAKE, 1);
    CHECK_EQ(WSENGINE_EVENT_OPEN, 2);
    CHECK_EQ(WSENGINE_EVENT_STOPPED, 7);
    CHECK_EQ(WSENGINE_EVENT_BACKPLANE, 8);
    CHECK_EQ(sizeof(wsengine_event_t), 64);
    CHECK_EQ(offsetof(wsengine_event_t, conn), 8);
    CHECK_EQ(offsetof(wsengine_event_t, data), 16);
    CHECK_EQ(offsetof(wsengine_event_t, request), 32);
    CHECK_EQ(offsetof(wsengine_event_t, user_data), 40);
    CHECK_EQ(offsetof(wsengine_event_t, time_us), 48);
    CHECK_EQ(offsetof(wsengine_event_t, code), 56);
}

static void a_connection_that_never_was_is_not_connected(void)
{
    static const uint64_t unknown[] = { 0, 1, 999, UINT64_MAX / 2, UINT64_MAX };
    wsengine_t *server = start(NULL);
    size_t i;

    for (i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        CHECK_EQ(send_text(server, unknown[i], "x"), WSENGINE_ERR_NOT_CONNECTED);
        CHECK_EQ(wsengine_close(server, unknown[i], 1000, NULL), WSENGINE_ERR_NOT_CONNECTED);
        CHECK_EQ(wsengine_abort(server, unknown[i]), WSENGINE_ERR_NOT_CONNECTED);
        CHECK_EQ(wsengine_buffered(server, unknown[i]), WSENGINE_ERR_NOT_CONNECTED);
        CHECK_EQ(wsengine_is_open(server, unknown[i]), 0);
    }
    wsengine_free(server);
}

static void a_message_that_cannot_be_sent_is_refused(void)
{
    wsengine_t *server = start("send_queue_bytes", "100", NULL);
    char big[101] = { 0 };
    uint64_t conn;
    int fd = open_to(server, &conn);

    CHECK_EQ(wsengine_send(server, conn, 0, "x", 1), WSENGINE_ERR_INVALID);
    CHECK_HAS(wsengine_last_error(), "kind is 0");
    CHECK_EQ(wsengine_broadcast(server, 3, "x", 1), WSENGINE_ERR_INVALID);
    CHECK_EQ(wsengine_send(server, conn, WSENGINE_TEXT, "\xc3\x28", 2), WSENGINE_ERR_UTF8);
    CHECK_HAS(wsengine_last_error(), "WSENGINE_BINARY");
    CHECK_EQ(wsengine_broadcast(server, WSENGINE_TEXT, "\xff", 1), WSENGINE_ERR_UTF8);
    CHECK_EQ(wsengine_send(server, conn, WSENGINE_BINARY, big, sizeof big), WSENGINE_ERR_TOO_BIG);
    CHECK_HAS(wsengine_last_error(), "send_queue_bytes");
    CHECK_EQ(wsengine_send(server, conn, WSENGINE_BINARY, "\xc3\x28", 2), WSENGINE_OK);
    CHECK(ws_receives(fd, WS_BINARY, "\xc3\x28"));
    close(fd);
    wsengine_free(server);
}

static void a_close_that_cannot_be_sent_is_refused(void)
{
    static const uint16_t wrong[] = { 0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535 };
    wsengine_t *server = start(NULL);
    char reason[125];
    uint64_t conn;
    size_t i;
    int fd = open_to(server, &conn);

    for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char number[16];
        CHECK_EQ(wsengine_close(server, conn, wrong[i], NULL), WSENGINE_ERR_INVALID);
        snprintf(number, sizeof number, "%u", (unsigned)wrong[i]);
        CHECK_HAS(wsengine_last_error(), number);
    }
    memset(reason, 'x', sizeof reason);
    reason[124] = '\0';
    CHECK_EQ(wsengine_close(server, conn, 1000, reason), WSENGINE_ERR_INVALID);
    CHECK_HAS(wsengine_last_error(), "123");
    CHECK_EQ(wsengine_close(server, conn, 1000, "\xff"), WSENGINE_ERR_UTF8);
    CHECK_EQ(wsengine_is_open(server, conn), 1);
    reason[123] = '\0';
    CHECK_EQ(wsengine_close(server, conn, 4999, reason), WSENGINE_OK);
    CHECK(ws_receives_close(fd, 4999, reason));
    close(fd);
    wsengine_free(server);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(null_handles_are_refused),
        TEST(null_and_empty_buffers_are_refused),
        TEST(an_unknown_option_suggests_the_nearest),
        TEST(a_wrong_value_names_option_value_and_what_is_allowed),
        TEST(a_port_in_use_is_named_and_nothing_keeps_running),
        TEST(the_last_error_belongs_to_its_thread),
        TEST(each_error_has_a_text),
        TEST(the_numbers_of_errors_and_events_stay),
        TEST(a_connection_that_never_was_is_not_connected),
        TEST(a_message_that_cannot_be_sent_is_refused),
        TEST(a_close_that_cannot_be_sent_is_refused),
    };
    return RUN_TESTS(tests);
}
