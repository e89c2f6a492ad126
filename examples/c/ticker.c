/* ticker.c - prices from a second thread: who connects to ws://127.0.0.1:8080/EUR gets those of EUR
 *
 *     cc ticker.c $(pkg-config --cflags --libs wsengine) -lpthread -o ticker && ./ticker 127.0.0.1:8080 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wsengine.h>

enum { EVERY_MS = 250 };

static const char *const currencies[] = { "EUR", "USD", "JPY" };

static wsengine_t *server;
static volatile sig_atomic_t quit;

static void on_signal(int sig)
{
    (void)sig;
    quit = 1;
    wsengine_wakeup(server);
}

/* Until the server stops. Any thread may send; nothing needs a lock. */
static void *publish_prices(void *unused)
{
    const struct timespec pause = { 0, EVERY_MS * 1000000L };
    double price = 100.0;
    char line[64];
    size_t i;
    int n;

    for (i = 0;; i = (i + 1) % 3) {
        price += (double)(rand() % 200 - 100) / 100.0;
        n = snprintf(line, sizeof line, "%s %.2f", currencies[i], price);
        if (wsengine_publish(server, currencies[i], WSENGINE_TEXT, line, (size_t)n) == WSENGINE_ERR_STOPPED)
            return unused;
        nanosleep(&pause, NULL);
    }
}

static void subscribe(const wsengine_event_t *event)
{
    size_t i;

    for (i = 0; i < 3; i++)
        if (event->len == 4 && event->data[0] == '/' && memcmp(event->data + 1, currencies[i], 3) == 0) {
            wsengine_subscribe(server, event->conn, currencies[i]);
            return;
        }
    wsengine_close(server, event->conn, 4404, "there are /EUR, /USD and /JPY");
}

int main(int argc, char **argv)
{
    wsengine_config_t *config = wsengine_config_new();
    wsengine_event_t event;
    pthread_t thread;
    int n;

    if (wsengine_config_set(config, "listen", argc > 1 ? argv[1] : "127.0.0.1:8080") < 0 ||
        wsengine_start(config, &server) < 0) {
        fprintf(stderr, "ticker: %s\n", wsengine_last_error());
        return 1;
    }
    wsengine_config_free(config);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    printf("listening on %s, CTRL-C to quit\n", wsengine_address(server, 0));
    fflush(stdout);
    if (pthread_create(&thread, NULL, publish_prices, NULL) != 0)
        return 1;
    while ((n = wsengine_poll_event(server, &event, -1)) >= 0) { /* below 0: stopped */
        if (n == 1 && event.type == WSENGINE_EVENT_OPEN)
            subscribe(&event);
        if (quit) {
            quit = 0;
            wsengine_stop(server, 1000);
        }
    }
    pthread_join(thread, NULL);
    wsengine_free(server);
    return 0;
}
