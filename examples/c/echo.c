/* echo.c - sends every message back: echo ADDRESS:PORT [IO_THREADS] [OPTION=VALUE ...]
 *
 * A peer may send faster than it reads. When its send queue is full, wsengine_send() says WSENGINE_ERR_WOULD_BLOCK;
 * the message is kept here and sent after WSENGINE_EVENT_DRAIN, so nothing is lost. A peer that reads nothing at all
 * is cut by the server itself after the option write_stall_ms. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wsengine.h>

/* A message that waits, behind those of the same connection that came before it. */
typedef struct waiting {
    struct waiting *next;
    uint64_t conn;
    size_t len;
    int kind;
    unsigned char data[];
} waiting;

static const char *const options[][2] = {
    { "max_message_bytes", "16777216" },
    { "max_fragments", "100000" },
    { "max_control_frames_per_s", "10000" },
    { "send_queue_bytes", "67108864" },
    { "send_queue_messages", "65536" },
};

static wsengine_t *server;
static volatile sig_atomic_t quit;
static waiting *first, **last = &first;

static void on_signal(int sig)
{
    (void)sig;
    quit = 1;
    wsengine_wakeup(server);
}

static void keep(const wsengine_event_t *event)
{
    waiting *message = malloc(sizeof *message + event->len);

    if (message == NULL) {
        fprintf(stderr, "echo: out of memory\n");
        exit(1);
    }
    message->next = NULL;
    message->conn = event->conn;
    message->len = event->len;
    message->kind = event->kind;
    memcpy(message->data, event->data, event->len);
    *last = message;
    last = &message->next;
}

static int keeps_some_of(uint64_t conn)
{
    const waiting *message;

    for (message = first; message != NULL; message = message->next)
        if (message->conn == conn)
            return 1;
    return 0;
}

/* Sends what waits for a connection until its queue is full again, or forgets it when the connection is gone. */
static void send_kept(uint64_t conn)
{
    waiting **at = &first, *message;

    while ((message = *at) != NULL) {
        if (message->conn != conn) {
            at = &message->next;
            continue;
        }
        if (wsengine_send(server, conn, message->kind, message->data, message->len) == WSENGINE_ERR_WOULD_BLOCK)
            return;
        *at = message->next;
        if (message->next == NULL)
            last = at;
        free(message);
    }
}

static void handle(const wsengine_event_t *event)
{
    switch (event->type) {
    case WSENGINE_EVENT_MESSAGE:
        if (keeps_some_of(event->conn) || wsengine_send(server, event->conn, event->kind, event->data,
                                                        event->len) == WSENGINE_ERR_WOULD_BLOCK)
            keep(event);
        break;
    case WSENGINE_EVENT_DRAIN:
    case WSENGINE_EVENT_CLOSE:
        send_kept(event->conn);
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
