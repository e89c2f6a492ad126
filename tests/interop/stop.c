/* stop.c - answers every message, while two threads send to all as fast as they are let. SIGTERM stops it; at the end it
 * says for each connection how many sends of each of the three were accepted. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <wsengine.h>

enum { MOST = 1024, SENDERS = 3 };

/* Each sender counts for itself. */
static struct {
    uint64_t conn;
    uint32_t accepted[SENDERS];
} clients[MOST];

static wsengine_t *server;
static atomic_size_t count;
static volatile sig_atomic_t quit;

static void on_signal(int sig)
{
    (void)sig;
    quit = 1;
    wsengine_wakeup(server);
}

/* The number of a connection, who sends, and how many of his it was sent before. */
static int send_next(size_t client, uint32_t sender)
{
    unsigned char data[16];
    uint32_t number = clients[client].accepted[sender];
    int err;

    memcpy(data, &clients[client].conn, 8);
    memcpy(data + 8, &sender, 4);
    memcpy(data + 12, &number, 4);
    err = wsengine_send(server, clients[client].conn, WSENGINE_BINARY, data, sizeof data);
    clients[client].accepted[sender] += err == 0;
    return err;
}

static void *push(void *argument)
{
    const struct timespec moment = { 0, 100000 };
    uint32_t sender = (uint32_t)(uintptr_t)argument;
    size_t client;
    int err = 0;

    while (err != WSENGINE_ERR_STOPPED) {
        size_t among = count;
        for (client = 0; client < among && err != WSENGINE_ERR_STOPPED; client++)
            err = send_next(client, sender);
        nanosleep(&moment, NULL);
    }
    return NULL;
}

static void handle(const wsengine_event_t *event)
{
    if (event->type == WSENGINE_EVENT_OPEN && count < MOST) {
        clients[count].conn = event->conn;
        *event->user_data = (void *)(uintptr_t)count;
        count++;
    } else if (event->type == WSENGINE_EVENT_MESSAGE) {
        send_next((size_t)(uintptr_t)*event->user_data, 0);
    }
}

int main(void)
{
    wsengine_config_t *config = wsengine_config_new();
    wsengine_event_t events[256];
    pthread_t threads[SENDERS - 1];
    size_t client;
    uintptr_t sender;
    int i, n;

    wsengine_config_set(config, "listen", "127.0.0.1:0");
    wsengine_config_set(config, "io_threads", "2");
    if (wsengine_start(config, &server) < 0) {
        fprintf(stderr, "stop: %s\n", wsengine_last_error());
        return 1;
    }
    wsengine_config_free(config);
    signal(SIGTERM, on_signal);
    for (sender = 1; sender < SENDERS; sender++)
        if (pthread_create(&threads[sender - 1], NULL, push, (void *)sender) != 0)
            return 1;
    printf("%s\n", wsengine_address(server, 0));
    fflush(stdout);
    while ((n = wsengine_poll_events(server, events, 256, -1)) >= 0) { /* below 0: stopped */
        for (i = 0; i < n; i++)
            handle(&events[i]);
        if (quit) {
            quit = 0;
            wsengine_stop(server, -1);
        }
    }
    for (i = 0; i < SENDERS - 1; i++)
        pthread_join(threads[i], NULL);
    for (client = 0; client < count; client++) {
        printf("%llu", (unsigned long long)clients[client].conn);
        for (sender = 0; sender < SENDERS; sender++)
            printf(" %u", (unsigned)clients[client].accepted[sender]);
        printf("\n");
    }
    wsengine_free(server);
    return 0;
}
