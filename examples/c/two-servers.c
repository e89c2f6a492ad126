/* two-servers.c - a public chat and, on another address, the desk that watches it, in one process and one loop: the desk
 * sees who says what and speaks to all
 *
 *     cc two-servers.c $(pkg-config --cflags --libs wsengine) -o two-servers
 *     ./two-servers 0.0.0.0:8080 127.0.0.1:8081 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <wsengine.h>

enum { PUBLIC, DESK };

static wsengine_t *servers[2];
static volatile sig_atomic_t quit;

static void on_signal(int sig)
{
    (void)sig;
    quit = 1;
    wsengine_wakeup(servers[PUBLIC]);
}

static void handle(int from, const wsengine_event_t *event)
{
    char line[4200];
    int n;

    if (event->type != WSENGINE_EVENT_MESSAGE)
        return;
    if (from == DESK)
        n = snprintf(line, sizeof line, "desk: %.*s", (int)event->len, (const char *)event->data);
    else
        n = snprintf(line, sizeof line, "%llu: %.*s", (unsigned long long)event->conn, (int)event->len,
                     (const char *)event->data);
    wsengine_broadcast(servers[PUBLIC], WSENGINE_TEXT, line, (size_t)n);
    wsengine_broadcast(servers[DESK], WSENGINE_TEXT, line, (size_t)n);
}

static wsengine_t *start(const char *address)
{
    wsengine_config_t *config = wsengine_config_new();
    wsengine_t *server = NULL;

    if (wsengine_config_set(config, "listen", address) < 0 ||
        wsengine_config_set(config, "max_message_bytes", "4096") < 0 || wsengine_start(config, &server) < 0)
        fprintf(stderr, "two-servers: %s\n", wsengine_last_error());
    else
        printf("listening on %s\n", wsengine_address(server, 0));
    wsengine_config_free(config);
    return server;
}

int main(int argc, char **argv)
{
    struct pollfd ready[2];
    wsengine_event_t events[64];
    int i, n, which, running = 2;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (which = 0; which < 2; which++) {
        servers[which] = start(argc == 3 ? argv[1 + which] : which == PUBLIC ? "127.0.0.1:8080" : "127.0.0.1:8081");
        if (servers[which] == NULL)
            return 1;
        ready[which].fd = wsengine_event_fd(servers[which]);
        ready[which].events = POLLIN;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    while (running > 0) {
        if (poll(ready, 2, -1) < 0)
            continue; /* a signal */
        for (which = 0; which < 2; which++) {
            if (ready[which].revents == 0)
                continue;
            n = wsengine_poll_events(servers[which], events, 64, 0);
            for (i = 0; i < n; i++)
                handle(which, &events[i]);
            if (n < 0) { /* stopped */
                ready[which].fd = -1;
                running--;
            }
        }
        if (quit) {
            quit = 0;
            wsengine_stop(servers[PUBLIC], 1000);
            wsengine_stop(servers[DESK], 1000);
        }
    }
    wsengine_free(servers[PUBLIC]);
    wsengine_free(servers[DESK]);
    return 0;
}
