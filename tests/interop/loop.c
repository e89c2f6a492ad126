/* loop.c - a server in a loop of its own, which waits for the event descriptor: SIGUSR1 makes it stuck, and ends that. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <wsengine.h>

static volatile sig_atomic_t stuck;

static void on_signal(int sig)
{
    (void)sig;
    stuck = !stuck;
}

int main(void)
{
    wsengine_config_t *config = wsengine_config_new();
    wsengine_event_t events[256];
    wsengine_t *server;
    struct pollfd waits = { .events = POLLIN };

    wsengine_config_set(config, "listen", "127.0.0.1:0");
    wsengine_config_set(config, "systemd_notify", "on");
    if (wsengine_start(config, &server) < 0) {
        fprintf(stderr, "loop: %s\n", wsengine_last_error());
        return 1;
    }
    wsengine_config_free(config);
    signal(SIGUSR1, on_signal);
    waits.fd = wsengine_event_fd(server);
    printf("%s\n", wsengine_address(server, 0));
    fflush(stdout);
    for (;;) {
        poll(&waits, 1, -1);
        while (stuck)
            usleep(10000);
        wsengine_poll_events(server, events, 256, 0);
    }
}
