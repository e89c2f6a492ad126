/* host.c - the server that is attacked: it sends every message back, and closes who does not take it: host OPTION=VALUE ... */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <wsengine.h>

static wsengine_t *server;
static volatile sig_atomic_t quit;

static void on_signal(int sig)
{
    (void)sig;
    quit = 1;
    wsengine_wakeup(server);
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
    for (i = 0; (address = wsengine_address(server, (size_t)i)) != NULL; i++)
        printf("listening on %s\n", address);
    fflush(stdout);
    while ((n = wsengine_poll_events(server, events, 256, -1)) >= 0) { /* below 0: stopped */
        for (i = 0; i < n; i++)
            if (events[i].type == WSENGINE_EVENT_MESSAGE &&
                wsengine_send(server, events[i].conn, events[i].kind, events[i].data, events[i].len) ==
                    WSENGINE_ERR_WOULD_BLOCK)
                wsengine_close(server, events[i].conn, 1013, "you read too slowly");
        if (quit) {
            quit = 0;
            wsengine_stop(server, 1000);
        }
    }
    wsengine_free(server);
    return 0;
}
