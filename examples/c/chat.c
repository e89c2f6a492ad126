/* chat.c - everyone in one room: cc chat.c $(pkg-config --cflags --libs wsengine); ./a.out 127.0.0.1:8080 */
#include <signal.h>
#include <stdio.h>
#include <wsengine.h>

static wsengine_t *server;
static volatile sig_atomic_t quit;

static void on_signal(int sig)
{
    (void)sig;
    quit = 1;
    wsengine_wakeup(server); /* safe in a signal handler */
}

static void handle(const wsengine_event_t *event)
{
    unsigned long long user = event->conn;
    char line[4200];
    int n;

    switch (event->type) {
    case WSENGINE_EVENT_OPEN:
        n = snprintf(line, sizeof line, "* user %llu is here", user);
        break;
    case WSENGINE_EVENT_MESSAGE:
        n = snprintf(line, sizeof line, "<%llu> %.*s", user, (int)event->len, (const char *)event->data);
        break;
    case WSENGINE_EVENT_CLOSE:
        n = snprintf(line, sizeof line, "* user %llu has left (%d)", user, event->code);
        break;
    default: /* types of later versions, too */
        return;
    }
    wsengine_broadcast(server, WSENGINE_TEXT, line, (size_t)n);
    puts(line);
}

int main(int argc, char **argv)
{
    wsengine_config_t *config = wsengine_config_new();
    wsengine_event_t events[64];
    int i, n;

    if (wsengine_config_set(config, "listen", argc > 1 ? argv[1] : "127.0.0.1:8080") < 0 ||
        wsengine_config_set(config, "max_message_bytes", "4096") < 0 || wsengine_start(config, &server) < 0) {
        fprintf(stderr, "chat: %s\n", wsengine_last_error());
        return 1;
    }
    wsengine_config_free(config);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("listening on %s, CTRL-C to quit\n", wsengine_address(server, 0));
    while ((n = wsengine_poll_events(server, events, 64, -1)) >= 0) { /* below 0: stopped */
        for (i = 0; i < n; i++)
            handle(&events[i]);
        if (quit) {
            quit = 0;
            wsengine_stop(server, 1000);
        }
    }
    wsengine_free(server);
    return 0;
}
