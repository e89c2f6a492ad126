/* program.c - a program of the time of wsengine 0.1.0: it is compiled against the header of then and run with the library of
 * today, so it stays as it is. It prints what does not hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wsengine.h>

#include "../../capi/tests/ws_client.h"

#define HOLDS(condition) \
    do { \
        if (!(condition)) { \
            printf("line %d: %s; last error: %s\n", __LINE__, #condition, wsengine_last_error()); \
            exit(1); \
        } \
    } while (0)

static wsengine_event_t expect(wsengine_t *server, wsengine_event_type type)
{
    wsengine_event_t event;

    memset(&event, 0xaa, sizeof event);
    HOLDS(wsengine_poll_event(server, &event, 20000) == 1);
    HOLDS(event.type == type && event.reserved == 0);
    return event;
}

static void on_log(int level, const char *line, void *count)
{
    HOLDS(level >= 1 && level <= 5 && strlen(line) > 0);
    ++*(int *)count;
}

static wsengine_t *start(void)
{
    wsengine_config_t *config = wsengine_config_new();
    const wsengine_option_info_t *option = wsengine_option_info(0);
    wsengine_t *server = NULL;

    HOLDS(strcmp(option->name, "listen") == 0 && option->type == WSENGINE_OPTION_LIST);
    HOLDS(option->default_value != NULL && option->allowed != NULL && option->doc != NULL);
    HOLDS(wsengine_config_set(config, "listen", "127.0.0.1:0") == WSENGINE_OK);
    HOLDS(wsengine_config_set(config, "handshake_events", "on") == WSENGINE_OK);
    HOLDS(wsengine_config_set(config, "log_level", "debug") == WSENGINE_OK);
    HOLDS(wsengine_config_set(config, "nonsense", "on") == WSENGINE_ERR_INVALID);
    HOLDS(wsengine_start(config, &server) == WSENGINE_OK);
    wsengine_config_free(config);
    HOLDS(strncmp(wsengine_address(server, 0), "127.0.0.1:", 10) == 0);
    HOLDS(wsengine_event_fd(server) >= 0 && wsengine_tls_reload(server) == WSENGINE_ERR_INVALID);
    return server;
}

static int let_in(wsengine_t *server, uint64_t *conn)
{
    int fd = ws_ask(wsengine_port(server), "/room?a=1", "Cookie: id=7\r\n");
    wsengine_event_t event = expect(server, WSENGINE_EVENT_HANDSHAKE);
    char head[1000];

    HOLDS(event.len == 9 && memcmp(event.data, "/room?a=1", 9) == 0);
    HOLDS(strcmp(wsengine_request_header(server, event.request, ":query"), "a=1") == 0);
    HOLDS(strcmp(wsengine_request_cookie(server, event.request, "id"), "7") == 0);
    HOLDS(wsengine_accept(server, event.conn, NULL, NULL) == WSENGINE_OK);
    HOLDS(wsengine_reject(server, event.conn, 403, NULL, NULL) == WSENGINE_ERR_DECIDED);
    HOLDS(ws_answer(fd, head, sizeof head) == 101);
    event = expect(server, WSENGINE_EVENT_OPEN);
    *event.user_data = server;
    *conn = event.conn;
    return fd;
}

int main(void)
{
    wsengine_stats_t stats;
    wsengine_event_t event;
    wsengine_t *server;
    int fd, lines = 0;
    uint64_t conn;

    HOLDS(wsengine_version_number() >= WSENGINE_VERSION_NUMBER);
    HOLDS(wsengine_version() != NULL && wsengine_strerror(WSENGINE_ERR_UTF8) != NULL);
    HOLDS(wsengine_set_log(on_log, &lines) == WSENGINE_OK);
    server = start();
    fd = let_in(server, &conn);

    HOLDS(ws_send_text(fd, "hello") == 0);
    event = expect(server, WSENGINE_EVENT_MESSAGE);
    HOLDS(event.conn == conn && event.kind == WSENGINE_TEXT && event.len == 5 && *event.user_data == server);
    HOLDS(memcmp(event.data, "hello", 5) == 0 && event.time_us > 0);
    HOLDS(wsengine_send(server, conn, WSENGINE_TEXT, "1", 1) == WSENGINE_OK);
    HOLDS(wsengine_broadcast(server, WSENGINE_TEXT, "2", 1) == 1);
    HOLDS(wsengine_broadcast_except(server, conn, WSENGINE_TEXT, "x", 1) == 0);
    HOLDS(wsengine_subscribe(server, conn, "news") == 1);
    HOLDS(wsengine_publish(server, "news", WSENGINE_BINARY, "3", 1) == 1);
    HOLDS(wsengine_publish_except(server, "news", conn, WSENGINE_TEXT, "x", 1) == 0);
    HOLDS(wsengine_unsubscribe(server, conn, "news") == 1);
    HOLDS(ws_receives(fd, WS_TEXT, "1") && ws_receives(fd, WS_TEXT, "2") && ws_receives(fd, WS_BINARY, "3"));
    HOLDS(wsengine_is_open(server, conn) == 1 && wsengine_buffered(server, conn) >= 0);
    HOLDS(wsengine_wakeup(server) == WSENGINE_OK && wsengine_poll_events(server, &event, 1, -1) == 0);

    stats.struct_size = sizeof stats;
    HOLDS(wsengine_stats(server, &stats) == WSENGINE_OK && stats.struct_size == sizeof stats);
    HOLDS(stats.connections == 1 && stats.opened == 1 && stats.messages_in == 1 && stats.read_pauses == 0);

    HOLDS(wsengine_close(server, conn, 4000, "bye") == WSENGINE_OK);
    HOLDS(ws_receives_close(fd, 4000, "bye") && ws_send_close(fd, 4000, "") == 0);
    event = expect(server, WSENGINE_EVENT_CLOSE);
    HOLDS(event.code == 4000 && event.flags == WSENGINE_FLAG_CLEAN && *event.user_data == server);
    HOLDS(wsengine_abort(server, conn) == WSENGINE_ERR_NOT_CONNECTED);
    HOLDS(wsengine_stop(server, -1) == WSENGINE_OK);
    expect(server, WSENGINE_EVENT_STOPPED);
    wsengine_free(server);
    HOLDS(wsengine_set_log(NULL, NULL) == WSENGINE_OK && lines > 0);
    close(fd);
    puts("all holds");
    return 0;
}
