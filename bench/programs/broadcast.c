/* Passes every message on to all connections and does nothing else: what a broadcast costs.
 *
 *   broadcast ADDRESS:PORT IO_THREADS
 */
#include <stdio.h>
#include <stdlib.h>

#include <wsengine.h>

enum { BATCH = 256 };

static void check(int result)
{
    if (result < 0) {
        fprintf(stderr, "%s\n", wsengine_last_error());
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: broadcast ADDRESS:PORT IO_THREADS\n");
        return 2;
    }
    wsengine_config_t *config = wsengine_config_new();
    check(wsengine_config_set(config, "listen", argv[1]));
    check(wsengine_config_set(config, "io_threads", argv[2]));
    wsengine_t *server;
    check(wsengine_start(config, &server));
    wsengine_config_free(config);
    printf("listening on %s\n", wsengine_address(server, 0));
    fflush(stdout);

    for (;;) {
        static wsengine_event_t events[BATCH];
        int count = wsengine_poll_events(server, events, BATCH, -1);
        check(count);
        for (int i = 0; i < count; i++)
            if (events[i].type == WSENGINE_EVENT_MESSAGE)
                check(wsengine_broadcast(server, events[i].kind, events[i].data, events[i].len));
    }
}
