/* host.c - the server that is attacked: it sends every message back, and closes who does not take it: host OPTION=VALUE ...
 * At SIGUSR1 it says in a line what it has seen, by the names of the counters and by close codes. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <wsengine.h>

static wsengine_t *server;
static volatile sig_atomic_t quit, asked;
static unsigned closes[5000]; /* by code */

static void on_signal(int sig)
{
    *(sig == SIGUSR1 ? &asked : &quit) = 1;
    wsengine_wakeup(server);
}

static void tell(void)
{
    wsengine_stats_t stats;
    int code;

    stats.struct_size = sizeof stats;
    wsengine_stats(server, &stats);
    printf("handshakes=%" PRIu64 " queued_bytes=%" PRIu64, stats.handshakes, stats.queued_bytes);
    printf(" opened=%" PRIu64 " refused=%" PRIu64, stats.opened, stats.refused);
    printf(" messages_in=%" PRIu64 " bytes_in=%" PRIu64, stats.messages_in, stats.bytes_in);
    for (code = 1000; code < 5000; code++)
        if (closes[code] > 0)
            printf(" closed_%d=%u", code, closes[code]);
    printf("\n");
    fflush(stdout);
}

static void handle(const wsengine_event_t *event)
{
    if (event->type == WSENGINE_EVENT_MESSAGE && wsengine_send(server, event->conn, event->kind, event->data,
                                                               event->len) == WSENGINE_ERR_WOULD_BLOCK)
        wsengine_close(server, event->conn, 1013, "you read too slowly");
    else if (event->type == WSENGINE_EVENT_CLOSE)
        closes[event->code]++;
}

int main(int argc, char **argv)
{
    wsengine_config_t *config = wsengine_config_new();
    wsengine_event_t events[256];
    const char *address;
    int i, n;

    for (i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (value == NULL)
            return 2;
        *value++ = '\0';
        if (wsengine_config_set(config, argv[i], value) < 0)
            break;
    }
    if (i < argc || wsengine_start(config, &server) < 0) {
        fprintf(stderr, "host: %s\n", wsengine_last_error());
        return 1;
    }
    wsengine_config_free(config);
    signal(SIGTERM, on_signal);
    signal(SIGUSR1, on_signal);
    for (i = 0; (address = wsengine_address(server, (size_t)i)) != NULL; i++)
        printf("listening on %s\n", address);
    fflush(stdout);
    while ((n = wsengine_poll_events(server, events, 256, -1)) >= 0) { /* below 0: stopped */
        for (i = 0; i < n; i++)
            handle(&events[i]);
        if (asked) {
            asked = 0;
            tell();
        }
        if (quit) {
            quit = 0;
            wsengine_stop(server, 1000);
        }
    }
    wsengine_free(server);
    return 0;
}
