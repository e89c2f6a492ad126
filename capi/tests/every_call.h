/* every_call.h - every function that takes a server, so that what holds for all is tested for all. run.sh sees to it
 * that none is missing. */
#ifndef EVERY_CALL_H
#define EVERY_CALL_H

#include <wsengine.h>

typedef struct {
    const char *name;
    int (*call)(wsengine_t *server, uint64_t conn);
} call_t;

/* A function that returns a pointer: 1 for any, and for NULL what stands for an error here. */
#define POINTER(pointer) ((pointer) != NULL ? 1 : no_pointer)
#define CALL(name, expression) \
    static inline int call_##name(wsengine_t *server, uint64_t conn) \
    { \
        (void)conn; \
        return (int)(expression); \
    }

static int no_pointer; /* the error that NULL stands for, or 0 */
static wsengine_event_t called_event;
static wsengine_stats_t called_stats = { .struct_size = sizeof(wsengine_stats_t) };
static const wsengine_request_t *called_request = (const wsengine_request_t *)&called_event;

CALL(wsengine_port, wsengine_port(server))
CALL(wsengine_address, POINTER(wsengine_address(server, 0)))
CALL(wsengine_tls_reload, wsengine_tls_reload(server))
CALL(wsengine_poll_event, wsengine_poll_event(server, &called_event, 0))
CALL(wsengine_poll_events, wsengine_poll_events(server, &called_event, 1, -1))
CALL(wsengine_event_fd, wsengine_event_fd(server))
CALL(wsengine_request_header, POINTER(wsengine_request_header(server, called_request, "host")))
CALL(wsengine_request_cookie, POINTER(wsengine_request_cookie(server, called_request, "a")))
CALL(wsengine_accept, wsengine_accept(server, conn, NULL, NULL))
CALL(wsengine_reject, wsengine_reject(server, conn, 403, NULL, NULL))
CALL(wsengine_send, wsengine_send(server, conn, WSENGINE_TEXT, "x", 1))
CALL(wsengine_broadcast, wsengine_broadcast(server, WSENGINE_TEXT, "x", 1))
CALL(wsengine_broadcast_except, wsengine_broadcast_except(server, conn, WSENGINE_TEXT, "x", 1))
CALL(wsengine_subscribe, wsengine_subscribe(server, conn, "news"))
CALL(wsengine_subscribe_with, wsengine_subscribe_with(server, conn, "news", NULL, NULL))
CALL(wsengine_members, wsengine_members(server, "news"))
CALL(wsengine_presence, wsengine_presence(server, "news", NULL, 0))
CALL(wsengine_unsubscribe, wsengine_unsubscribe(server, conn, "news"))
CALL(wsengine_publish, wsengine_publish(server, "news", WSENGINE_TEXT, "x", 1))
CALL(wsengine_publish_except, wsengine_publish_except(server, "news", conn, WSENGINE_TEXT, "x", 1))
CALL(wsengine_close, wsengine_close(server, conn, 1000, NULL))
CALL(wsengine_abort, wsengine_abort(server, conn))
CALL(wsengine_buffered, wsengine_buffered(server, conn))
CALL(wsengine_is_open, wsengine_is_open(server, conn))
CALL(wsengine_stats, wsengine_stats(server, &called_stats))
CALL(wsengine_stop, wsengine_stop(server, 0))
CALL(wsengine_wakeup, wsengine_wakeup(server))

#define EVERY(name) { #name, call_##name }

static const call_t every_call[] = {
    EVERY(wsengine_port),
    EVERY(wsengine_address),
    EVERY(wsengine_tls_reload),
    EVERY(wsengine_poll_event),
    EVERY(wsengine_poll_events),
    EVERY(wsengine_event_fd),
    EVERY(wsengine_request_header),
    EVERY(wsengine_request_cookie),
    EVERY(wsengine_accept),
    EVERY(wsengine_reject),
    EVERY(wsengine_send),
    EVERY(wsengine_broadcast),
    EVERY(wsengine_broadcast_except),
    EVERY(wsengine_subscribe),
    EVERY(wsengine_subscribe_with),
    EVERY(wsengine_members),
    EVERY(wsengine_presence),
    EVERY(wsengine_unsubscribe),
    EVERY(wsengine_publish),
    EVERY(wsengine_publish_except),
    EVERY(wsengine_close),
    EVERY(wsengine_abort),
    EVERY(wsengine_buffered),
    EVERY(wsengine_is_open),
    EVERY(wsengine_stats),
    EVERY(wsengine_stop),
    EVERY(wsengine_wakeup),
};

/* The first function that answers something else than this error, or NULL. */
static inline const char *who_does_not_answer(int error, wsengine_t *server, uint64_t conn)
{
    size_t i;

    no_pointer = error;
    for (i = 0; i < sizeof every_call / sizeof *every_call; i++)
        if (every_call[i].call(server, conn) != error)
            return every_call[i].name;
    return NULL;
}

#define CHECK_ALL_ANSWER(error, server, conn) \
    do { \
        const char *who = who_does_not_answer(error, server, conn); \
        if (who != NULL) \
            fail(__FILE__, __LINE__, who); \
    } while (0)

#endif
