/* chat-libuv.c - everyone in one room, in libuv's loop
 *
 *     cc chat-libuv.c $(pkg-config --cflags --libs wsengine libuv) -o chat-libuv && ./chat-libuv 127.0.0.1:8080 */
#include <signal.h>
#include <stdio.h>
#include <uv.h>
#include <wsengine.h>

static wsengine_t *server;
static uv_poll_t wait_for_events;
static uv_signal_t interrupt, terminate;

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

/* The loop ends when nothing is left for it to wait for. */
static void on_events(uv_poll_t *poll, int status, int what)
{
    wsengine_event_t events[64];
    int i, n = wsengine_poll_events(server, events, 64, 0); /* once: it comes again while there is more */

    (void)status;
    (void)what;
    for (i = 0; i < n; i++)
        handle(&events[i]);
    if (n < 0) { /* stopped */
        uv_close((uv_handle_t *)poll, NULL);
        uv_close((uv_handle_t *)&interrupt, NULL);
        uv_close((uv_handle_t *)&terminate, NULL);
    }
}

static void on_signal(uv_signal_t *signal, int number)
{
    (void)signal;
    (void)number;
    wsengine_stop(server, 1000);
}

int main(int argc, char **argv)
{
    wsengine_config_t *config = wsengine_config_new();
    uv_loop_t *loop = uv_default_loop();

    if (wsengine_config_set(config, "listen", argc > 1 ? argv[1] : "127.0.0.1:8080") < 0 ||
        wsengine_config_set(config, "max_message_bytes", "4096") < 0 || wsengine_start(config, &server) < 0) {
        fprintf(stderr, "chat-libuv: %s\n", wsengine_last_error());
        return 1;
    }
    wsengine_config_free(config);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("listening on %s, CTRL-C to quit\n", wsengine_address(server, 0));
    uv_signal_init(loop, &interrupt);
    uv_signal_start(&interrupt, on_signal, SIGINT);
    uv_signal_init(loop, &terminate);
    uv_signal_start(&terminate, on_signal, SIGTERM);
    uv_poll_init(loop, &wait_for_events, wsengine_event_fd(server));
    uv_poll_start(&wait_for_events, UV_READABLE, on_events);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    wsengine_free(server); /* after the loop has let go of its descriptor */
    return 0;
}
