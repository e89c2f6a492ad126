/* chat-libevent.c - everyone in one room, in libevent's loop
 *
 *     cc chat-libevent.c $(pkg-config --cflags --libs wsengine libevent_core) -o chat-libevent
 *     ./chat-libevent 127.0.0.1:8080 */
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <wsengine.h>

static wsengine_t *server;

static void handle(const wsengine_event_t *event)
{
    unsigned long long user = event->conn;
    char line[4200];
    int n;

    if (event->type == WSENGINE_EVENT_OPEN)
        n = snprintf(line, sizeof line, "* user %llu is here", user);
    else if (event->type == WSENGINE_EVENT_MESSAGE)
        n = snprintf(line, sizeof line, "<%llu> %.*s", user, (int)event->len, (const char *)event->data);
    else if (event->type == WSENGINE_EVENT_CLOSE)
        n = snprintf(line, sizeof line, "* user %llu has left (%d)", user, event->code);
    else
        return;
    wsengine_broadcast(server, WSENGINE_TEXT, line, (size_t)n);
    puts(line);
}

static void on_events(evutil_socket_t fd, short what, void *base)
{
    wsengine_event_t events[64];
    int i, n = wsengine_poll_events(server, events, 64, 0); /* once: it comes again while there is more */

    (void)fd;
    (void)what;
    for (i = 0; i < n; i++)
        handle(&events[i]);
    if (n < 0) /* stopped */
        event_base_loopbreak(base);
}

static void on_signal(evutil_socket_t number, short what, void *unused)
{
    (void)number;
    (void)what;
    (void)unused;
    wsengine_stop(server, 1000);
}

int main(int argc, char **argv)
{
    wsengine_config_t *config = wsengine_config_new();
    struct event_base *base = event_base_new();
    struct event *wait_for[3];
    size_t i;

    if (wsengine_config_set(config, "listen", argc > 1 ? argv[1] : "127.0.0.1:8080") < 0 ||
        wsengine_config_set(config, "max_message_bytes", "4096") < 0 || wsengine_start(config, &server) < 0) {
        fprintf(stderr, "chat-libevent: %s\n", wsengine_last_error());
        return 1;
    }
    wsengine_config_free(config);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("listening on %s, CTRL-C to quit\n", wsengine_address(server, 0));
    wait_for[0] = event_new(base, wsengine_event_fd(server), EV_READ | EV_PERSIST, on_events, base);
    wait_for[1] = evsignal_new(base, SIGINT, on_signal, NULL);
    wait_for[2] = evsignal_new(base, SIGTERM, on_signal, NULL);
    for (i = 0; i < 3; i++)
        event_add(wait_for[i], NULL);
    event_base_dispatch(base);
    for (i = 0; i < 3; i++)
        event_free(wait_for[i]);
    event_base_free(base);
    wsengine_free(server); /* after the loop has let go of its descriptor */
    return 0;
}
