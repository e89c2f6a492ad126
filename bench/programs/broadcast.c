/* Passes every message on to all connections and does nothing else: what a broadcast costs, and a message to a topic.
 *
 *   broadcast ADDRESS:PORT IO_THREADS [TOPIC [OTHERS]]
 *
 * Every connection is a member of TOPIC, and the only one of so many OTHERS.
 *
 * At the end it prints how long a call took the host: "figure call_ns MEDIAN".
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <wsengine.h>

enum { BATCH = 256, NS_PER_STEP = 10, STEPS = 100 * 1000 };

static volatile sig_atomic_t over;
/* How many calls took so many steps; the last one is for all that took longer. */
static unsigned calls[STEPS];

static void on_signal(int number)
{
    (void)number;
    over = 1;
}

static void check(int result)
{
    if (result < 0) {
        fprintf(stderr, "%s\n", wsengine_last_error());
        exit(1);
    }
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void print_median(void)
{
    unsigned long all = 0, seen = 0;
    size_t step = 0;
    for (size_t i = 0; i < STEPS; i++)
        all += calls[i];
    while (step < STEPS - 1 && (seen += calls[step]) * 2 < all)
        step++;
    printf("figure call_ns %zu\n", step * NS_PER_STEP);
}

static void subscribe(const wsengine_t *server, uint64_t conn, const char *topic, long others)
{
    char other[64];
    check(wsengine_subscribe(server, conn, topic));
    for (long i = 0; i < others; i++) {
        snprintf(other, sizeof other, "%" PRIu64 " alone %ld", conn, i);
        check(wsengine_subscribe(server, conn, other));
    }
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 5) {
        fprintf(stderr, "usage: broadcast ADDRESS:PORT IO_THREADS [TOPIC [OTHERS]]\n");
        return 2;
    }
    const char *topic = argv[3];
    long others = argc == 5 ? strtol(argv[4], NULL, 10) : 0;
    wsengine_config_t *config = wsengine_config_new();
    check(wsengine_config_set(config, "listen", argv[1]));
    check(wsengine_config_set(config, "io_threads", argv[2]));
    wsengine_t *server;
    check(wsengine_start(config, &server));
    wsengine_config_free(config);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
    printf("listening on %s\n", wsengine_address(server, 0));
    fflush(stdout);

    while (!over) {
        static wsengine_event_t events[BATCH];
        int count = wsengine_poll_events(server, events, BATCH, 100);
        check(count);
        for (int i = 0; i < count; i++) {
            const wsengine_event_t *event = &events[i];
            if (event->type == WSENGINE_EVENT_OPEN && topic) {
                subscribe(server, event->conn, topic, others);
            } else if (event->type == WSENGINE_EVENT_MESSAGE) {
                int64_t begin = now();
                check(topic ? wsengine_publish(server, topic, event->kind, event->data, event->len)
                            : wsengine_broadcast(server, event->kind, event->data, event->len));
                int64_t steps = (now() - begin) / NS_PER_STEP;
                calls[steps < STEPS ? steps : STEPS - 1]++;
            }
        }
    }
    print_median();
    return 0;
}
