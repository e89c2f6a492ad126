/* echo.c - sends every message back: echo ADDRESS:PORT [IO_THREADS] [OPTION=VALUE ...]
 *
 * A peer may send faster than it reads. When its send queue is full, wsengine_send() says WSENGINE_ERR_WOULD_BLOCK;
 * the message is kept here and sent after WSENGINE_EVENT_DRAIN, so nothing is lost. A peer that reads nothing at all
 * is cut by the server itself after the option write_stall_ms; one that reads too little is closed here when
 * MOST_KEPT bytes are kept for it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wsengine.h>

enum { MOST_KEPT = 64 << 20 };

typedef struct waiting {
    struct waiting *next;
    size_t len;
    int kind;
    unsigned char data[];
} waiting;

/* The messages that wait for a connection; hangs on its first, and goes with its last event. */
typedef struct {
    waiting *first, **last;
    size_t bytes;
} queue;

static const char *const options[][2] = {
    { "max_message_bytes", "16777216" },
    { "max_fragments", "100000" },
    { "max_control_frames_per_s", "10000" },
    { "send_queue_bytes", "67108864" },
    { "send_queue_messages", "65536" },
};

static wsengine_t *server;
static volatile sig_atomic_t quit;

static void on_signal(int sig)
{
    (void)sig;
    quit = 1;
    wsengine_wakeup(server);
}

static void keep(queue *kept, const wsengine_event_t *event)
{
    waiting *message = kept->bytes + event->len <= MOST_KEPT ? malloc(sizeof *message + event->len) : NULL;

    if (message == NULL) { /* once: nothing comes after a close but its event */
        wsengine_close(server, event->conn, 1013, "you read too slowly");
        return;
    }
    message->next = NULL;
    message->len = event->len;
    message->kind = event->kind;
    memcpy(message->data, event->data, event->len);
    *kept->last = message;
    kept->last = &message->next;
    kept->bytes += event->len;
}

static void forget_first(queue *kept)
{
    waiting *message = kept->first;

    kept->bytes -= message->len;
    kept->first = message->next;
    if (kept->first == NULL)
        kept->last = &kept->first;
    free(message);
}

/* Sends what waits for a connection until its queue is full again. */
static void send_kept(queue *kept, uint64_t conn)
{
    const waiting *message;

    while ((message = kept->first) != NULL) {
        if (wsengine_send(server, conn, message->kind, message->data, message->len) == WSENGINE_ERR_WOULD_BLOCK)
            return;
        forget_first(kept);
    }
}

static void handle(const wsengine_event_t *event)
{
    queue *kept = event->user_data != NULL ? *event->user_data : NULL;

    switch (event->type) {
    case WSENGINE_EVENT_OPEN:
        kept = calloc(1, sizeof *kept);
        if (kept == NULL) {
            wsengine_close(server, event->conn, 1013, "no memory");
            break;
        }
        kept->last = &kept->first;
        *event->user_data = kept;
        break;
    case WSENGINE_EVENT_MESSAGE:
        if (kept != NULL && (kept->first != NULL || wsengine_send(server, event->conn, event->kind, event->data,
                                                                  event->len) == WSENGINE_ERR_WOULD_BLOCK))
            keep(kept, event);
        break;
    case WSENGINE_EVENT_DRAIN:
        if (kept != NULL)
            send_kept(kept, event->conn);
        break;
    case WSENGINE_EVENT_CLOSE:
        while (kept != NULL && kept->first != NULL)
            forget_first(kept);
        free(kept);
        break;
    default: /* types of later versions */
        break;
    }
}

/* Sets an option that is written NAME=VALUE; a number alone is io_threads. */
static int set(wsengine_config_t *config, char *argument)
{
    char *value = strchr(argument, '=');

    if (value == NULL)
        return wsengine_config_set(config, "io_threads", argument);
    *value++ = '\0';
    return wsengine_config_set(config, argument, value);
}

static int start(const char *address, int count, char **arguments)
{
    wsengine_config_t *config = wsengine_config_new();
    size_t i;
    int n, err = wsengine_config_set(config, "listen", address);

    for (i = 0; err == 0 && i < sizeof options / sizeof *options; i++)
        err = wsengine_config_set(config, options[i][0], options[i][1]);
    for (n = 0; err == 0 && n < count; n++)
        err = set(config, arguments[n]);
    if (err == 0)
        err = wsengine_start(config, &server);
    wsengine_config_free(config);
    return err;
}

int main(int argc, char **argv)
{
    wsengine_event_t events[256];
    const char *address;
    size_t number;
    int i, n;

    if (argc < 2) {
        fprintf(stderr, "usage: %s ADDRESS:PORT [IO_THREADS] [OPTION=VALUE ...]\n", argv[0]);
        return 2;
    }
    if (start(argv[1], argc - 2, argv + 2) < 0) {
        fprintf(stderr, "echo: %s\n", wsengine_last_error());
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    for (number = 0; (address = wsengine_address(server, number)) != NULL; number++)
        printf("listening on %s\n", address);
    fflush(stdout);
    while ((n = wsengine_poll_events(server, events, 256, -1)) >= 0) { /* below 0: stopped */
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
