/*
 * wsengine.h - a WebSocket server in your program: the C face of wsengine
 * Generated from capi/src by `WRITE_HEADER=1 cargo test -p wsengine-capi --test header`; do not edit.
 *
 * Life: wsengine_config_new(), wsengine_config_set(), wsengine_start(); poll events and send; wsengine_stop(), poll
 * on until WSENGINE_EVENT_STOPPED, wsengine_free(). Sockets, handshakes, pings, limits and timeouts are the work of
 * the server's own threads, which go on while your code is busy. Your code runs on your threads only: nothing here
 * calls you back, but for the log function if you set one. Any number of servers may run in one process.
 *
 * Threads: any function may be called from any thread at any time, with these exceptions. One thread at a time polls
 * a server: others get WSENGINE_ERR_BUSY. wsengine_free() comes last: it waits for calls that are under way, and none
 * may begin after it. A wsengine_config_t belongs to one thread at a time. A log function calls none of them. No
 * function waits for a peer; wsengine_poll_event() and wsengine_poll_events() wait for events.
 *
 * Memory: what you pass is copied before the call returns. What an event points to lives until the next poll of
 * that server. Texts returned as const char * say how long they live. Never free() anything that is wsengine's.
 *
 * Events of one connection: [HANDSHAKE] OPEN (MESSAGE | DRAIN)* CLOSE, in this order, none lost, exactly one CLOSE for
 * each OPEN. While you do not poll, the server keeps events up to the options event_queue_bytes and
 * event_queue_events, then it stops reading from the peers; it drops nothing.
 *
 * Processes: call wsengine_start() after fork() and daemon(). A forked child cannot use the servers of its parent:
 * calls return WSENGINE_ERR_FORKED and wsengine_free() only forgets. It has no copies of their sockets, and may start
 * servers of its own. Descriptors are close-on-exec; wsengine_start() raises the soft limit of open files to the hard
 * one.
 *
 * Signals: wsengine installs no handlers, its threads block all signals, and it raises no SIGPIPE. In a handler only
 * wsengine_wakeup() may be called.
 *
 * Errors: functions that return int answer 0 or more on success and an enum wsengine_error below 0 on failure, of
 * which wsengine_last_error() has the details; those that return a pointer answer NULL. Each function names its own
 * errors. Beside them any may answer WSENGINE_ERR_INVALID (a NULL handle; functions that free ignore it),
 * WSENGINE_ERR_FORKED, WSENGINE_ERR_BUSY (called by a log function) and WSENGINE_ERR_INTERNAL. Any other bad pointer is
 * undefined behaviour as everywhere in C.
 */

#ifndef WSENGINE_H
#define WSENGINE_H

#include <stddef.h>
#include <stdint.h>

#define WSENGINE_VERSION_MAJOR 0
#define WSENGINE_VERSION_MINOR 1
#define WSENGINE_VERSION_PATCH 0
#define WSENGINE_VERSION_STRING "0.1.0"
/* 0xMMmmpp00, to be compared with wsengine_version_number() */
#define WSENGINE_VERSION_NUMBER \
    ((WSENGINE_VERSION_MAJOR << 24) | (WSENGINE_VERSION_MINOR << 16) | (WSENGINE_VERSION_PATCH << 8))

#if defined(__GNUC__) || defined(__clang__)
# define WSENGINE_MUST_USE __attribute__((warn_unused_result))
#else
# define WSENGINE_MUST_USE
#endif

/**
 * Bit of flags in wsengine_event_t: both sides sent a close frame.
 */
#define WSENGINE_FLAG_CLEAN 1

/**
 * Bit of flags: the backplane was lost before, so messages of other nodes may have been missed.
 */
#define WSENGINE_FLAG_GAP 2

/**
 * Answers of functions that return int: 0 or more is success, below 0 an error. The numbers never change; later
 * versions may add some, so treat an unknown negative number as an error too.
 */
typedef enum wsengine_error {
    /**
     * Success.
     */
    WSENGINE_OK = 0,
    /**
     * A NULL pointer, an unknown option or kind, a value that is not allowed.
     */
    WSENGINE_ERR_INVALID = -1,
    /**
     * Out of descriptors or threads, or of the system's memory for them. When malloc() itself fails the process ends.
     */
    WSENGINE_ERR_NOMEM = -2,
    /**
     * The operating system refused something else, such as an address to listen on.
     */
    WSENGINE_ERR_IO = -3,
    /**
     * The connection is closed, is closing or never existed. Normal: a peer may leave at any time.
     */
    WSENGINE_ERR_NOT_CONNECTED = -4,
    /**
     * The send queue of the connection is full; nothing was queued. Try again after WSENGINE_EVENT_DRAIN.
     */
    WSENGINE_ERR_WOULD_BLOCK = -5,
    /**
     * The message alone is larger than the option send_queue_bytes.
     */
    WSENGINE_ERR_TOO_BIG = -6,
    /**
     * A text message or close reason that is not UTF-8.
     */
    WSENGINE_ERR_UTF8 = -7,
    /**
     * The server is stopping or has stopped, or was freed.
     */
    WSENGINE_ERR_STOPPED = -8,
    /**
     * Another thread is polling this server, or a log function has called.
     */
    WSENGINE_ERR_BUSY = -9,
    /**
     * This process is a fork of the one that called wsengine_start().
     */
    WSENGINE_ERR_FORKED = -10,
    /**
     * A handshake cannot be decided on: it was before, or the time is over.
     */
    WSENGINE_ERR_DECIDED = -11,
    /**
     * The connection cannot do that: a binary message for a client of draft-76.
     */
    WSENGINE_ERR_UNSUPPORTED = -12,
    /**
     * A bug inside wsengine was caught before it reached your program; free the server.
     */
    WSENGINE_ERR_INTERNAL = -13,
} wsengine_error;

/**
 * Kinds of messages.
 */
typedef enum wsengine_kind {
    /**
     * UTF-8 text (opcode 1).
     */
    WSENGINE_TEXT = 1,
    /**
     * Any bytes (opcode 2).
     */
    WSENGINE_BINARY = 2,
} wsengine_kind;

/**
 * Values of type in wsengine_event_t. Ignore those you do not know: later versions may add some.
 */
typedef enum wsengine_event_type {
    /**
     * No event: the type of the first one when a poll took none.
     */
    WSENGINE_EVENT_NONE = 0,
    /**
     * A client asks to connect; only with the option handshake_events. Answer with wsengine_accept() or
     * wsengine_reject() before handshake_timeout_ms is over. data/len: request target, path and query. OPEN has the same
     * conn; after a rejection, or when the client leaves or the time is over, nothing follows.
     */
    WSENGINE_EVENT_HANDSHAKE = 1,
    /**
     * A connection is open. data/len: request target, path and query.
     */
    WSENGINE_EVENT_OPEN = 2,
    /**
     * A whole message arrived. kind: WSENGINE_TEXT (valid UTF-8) or WSENGINE_BINARY; data/len: payload.
     */
    WSENGINE_EVENT_MESSAGE = 3,
    /**
     * A connection has ended; exactly one for each OPEN, the last event of its id. code: close code, 1005 when the
     * close frame had none, 1006 when there was no close frame; data/len: reason; flags: WSENGINE_FLAG_CLEAN.
     */
    WSENGINE_EVENT_CLOSE = 4,
    /**
     * The send queue, full before, is below half: sending works again. code: messages that broadcasts left out
     * for this connection since it was full (option slow_consumer).
     */
    WSENGINE_EVENT_DRAIN = 5,
    /**
     * Trouble that belongs to no connection, such as no descriptors left. conn is 0; code: errno or 0; data/len:
     * text. The server goes on.
     */
    WSENGINE_EVENT_ERROR = 6,
    /**
     * The server has stopped; its last event. conn is 0.
     */
    WSENGINE_EVENT_STOPPED = 7,
    /**
     * The backplane is there (code 1) or is lost (code 0); only with the option backplane. conn is 0; flags:
     * WSENGINE_FLAG_GAP; data/len: why it is lost. While it is, this node serves its own connections alone.
     */
    WSENGINE_EVENT_BACKPLANE = 8,
} wsengine_event_type;

/**
 * What the value of an option is.
 */
typedef enum wsengine_option_type {
    /**
     * A whole number, such as "65536".
     */
    WSENGINE_OPTION_NUMBER = 1,
    /**
     * "on" or "off".
     */
    WSENGINE_OPTION_SWITCH = 2,
    /**
     * One of a few words, such as "close".
     */
    WSENGINE_OPTION_WORD = 3,
    /**
     * A file or a directory, or "none".
     */
    WSENGINE_OPTION_PATH = 4,
    /**
     * Items separated by commas, or a word that stands for all or none.
     */
    WSENGINE_OPTION_LIST = 5,
    /**
     * Any text.
     */
    WSENGINE_OPTION_TEXT = 6,
    /**
     * Any text, and nobody else's business, such as a password.
     */
    WSENGINE_OPTION_SECRET = 7,
} wsengine_option_type;

/**
 * Options for wsengine_start(); for one thread at a time. May start several servers.
 */
typedef struct wsengine_config_t wsengine_config_t;

/**
 * The request of a client that asks to connect or has connected; see request in wsengine_event_t.
 */
typedef struct wsengine_request_t wsengine_request_t;

/**
 * A running server. Made by wsengine_start(), ended by wsengine_free().
 */
typedef struct wsengine_t wsengine_t;

/**
 * Takes a log line without a line end; level: 1 error, 2 warning, 3 info, 4 debug, 5 trace. Called from any thread,
 * also from several at once, and maybe in the middle of a wsengine function; must return soon, and normally: neither by
 * longjmp() nor by an exception. Functions of wsengine
 * that it calls do nothing and answer WSENGINE_ERR_BUSY or NULL, but for wsengine_wakeup() and those that only give a
 * text or a version. line is gone when it returns.
 */
typedef void (*wsengine_log_fn)(int level, const char *line, void *user_data);

/**
 * An option of wsengine_config_set(). Later versions may add fields at the end.
 */
typedef struct wsengine_option_info_t {
    /**
     * Its name.
     */
    const char *name;
    /**
     * Its value when it is not set.
     */
    const char *default_value;
    /**
     * What is allowed, in words.
     */
    const char *allowed;
    /**
     * What it does, in words.
     */
    const char *doc;
    /**
     * One of enum wsengine_option_type.
     */
    uint32_t type;
} wsengine_option_info_t;

/**
 * An event. 64 bytes on 64-bit systems. data is valid until the next poll of this server: copy what you keep.
 */
typedef struct wsengine_event_t {
    /**
     * One of enum wsengine_event_type.
     */
    uint16_t type;
    /**
     * MESSAGE: enum wsengine_kind; else 0.
     */
    uint16_t kind;
    /**
     * WSENGINE_FLAG_... bits.
     */
    uint32_t flags;
    /**
     * Connection id, below 2^63, never given again in the life of the server; 0 for events of the server itself.
     */
    uint64_t conn;
    /**
     * Payload without a NUL at its end; never NULL.
     */
    const uint8_t *data;
    /**
     * Length of data in bytes; may be 0.
     */
    size_t len;
    /**
     * HANDSHAKE and OPEN: what the request holds, for wsengine_request_header(); else NULL. As valid as data.
     */
    const wsengine_request_t *request;
    /**
     * OPEN to CLOSE: where you may keep a pointer of your own, NULL at first; the same place with each event of the
     * connection, valid until the poll after that which gave CLOSE. wsengine never follows it: free what it points to
     * with CLOSE. Else NULL.
     */
    void **user_data;
    /**
     * Microseconds from the server's start to when it happened.
     */
    uint64_t time_us;
    /**
     * CLOSE, DRAIN, ERROR, BACKPLANE: see there; else 0.
     */
    int32_t code;
    /**
     * 0.
     */
    uint32_t reserved;
} wsengine_event_t;

/**
 * How things stand, and what has happened since the start. Later versions add fields at the end: set struct_size
 * to sizeof(wsengine_stats_t), and no more than that is filled.
 */
typedef struct wsengine_stats_t {
    /**
     * In: sizeof(wsengine_stats_t). Out: bytes filled.
     */
    size_t struct_size;
    /**
     * Open connections.
     */
    uint64_t connections;
    /**
     * Memberships of open connections in topics.
     */
    uint64_t subscriptions;
    /**
     * Handshakes under way, and transfers of files.
     */
    uint64_t handshakes;
    /**
     * Events that have not been polled.
     */
    uint64_t events_pending;
    /**
     * Bytes that wait to be sent to slow connections.
     */
    uint64_t queued_bytes;
    /**
     * Connections that were opened.
     */
    uint64_t opened;
    /**
     * Connections that were closed.
     */
    uint64_t closed;
    /**
     * Handshakes that were refused or took too long, and files that were refused or not taken.
     */
    uint64_t refused;
    /**
     * Requests that were answered by a file, or by a status that says there is none.
     */
    uint64_t http_requests;
    /**
     * Messages received.
     */
    uint64_t messages_in;
    /**
     * Bytes of payload received.
     */
    uint64_t bytes_in;
    /**
     * Messages given to a socket or to a send queue, one for each recipient.
     */
    uint64_t messages_out;
    /**
     * Bytes of these messages on the wire.
     */
    uint64_t bytes_out;
    /**
     * Messages that the option slow_consumer left out.
     */
    uint64_t messages_dropped;
    /**
     * Connections that were closed because they read too slowly.
     */
    uint64_t slow_closed;
    /**
     * Connections that were closed for a breach of the protocol or of a limit.
     */
    uint64_t violations;
    /**
     * Peers that did not answer a ping.
     */
    uint64_t dead_peers;
    /**
     * How often a connection had to wait because events were not polled fast enough.
     */
    uint64_t read_pauses;
    /**
     * Messages given to the backplane.
     */
    uint64_t backplane_sent;
    /**
     * Messages that came from it, this node's own included.
     */
    uint64_t backplane_received;
    /**
     * Those of them that were not understood.
     */
    uint64_t backplane_ignored;
    /**
     * What the history that is kept here takes.
     */
    uint64_t history_bytes;
    /**
     * Connections that were closed because they sent no message for too long.
     */
    uint64_t idle_closed;
    /**
     * Connections that were cut because they did not answer a close frame in time.
     */
    uint64_t close_timeouts;
} wsengine_stats_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Version of the library in use, as WSENGINE_VERSION_NUMBER of its header.
 */
uint32_t wsengine_version_number(void);

/**
 * Version of the library in use, such as "0.1.0"; static.
 */
const char *wsengine_version(void);

/**
 * Short text for an error number; static, never NULL.
 */
const char *wsengine_strerror(int code);

/**
 * What the last failing call of this thread found wrong, in words; never NULL, empty before the first.
 * Valid until the next failing call of this thread. Success does not clear it.
 */
const char *wsengine_last_error(void);

/**
 * All options at their defaults. NULL when something is badly wrong; see wsengine_last_error().
 */
WSENGINE_MUST_USE wsengine_config_t *wsengine_config_new(void);

/**
 * Sets an option by its name, such as ("listen", "0.0.0.0:8080") or ("max_message_bytes", "65536"); values are
 * text, lists are separated by commas, a second call replaces the first. docs/options.md lists all.
 * WSENGINE_ERR_INVALID: the name is unknown or the value is not allowed; wsengine_last_error() says what is, and
 * the option stays as it was.
 */
int wsengine_config_set(wsengine_config_t *config, const char *name, const char *value);

/**
 * Frees options. NULL is allowed. Servers started with them live on.
 */
void wsengine_config_free(wsengine_config_t *config);

/**
 * Sends the log lines of all servers of the process to function, with user_data as it is; NULL ends that, and it
 * is how it begins. The option log_level of the server started last says how much is logged. When it returns, the
 * function set before is not called any more; so it waits for one that is running. A forked child sets its own.
 */
int wsengine_set_log(wsengine_log_fn function, void *user_data);

/**
 * The option number index (from 0), or NULL when there are no more. Static.
 */
const wsengine_option_info_t *wsengine_option_info(size_t index);

/**
 * Starts a server on threads of its own and returns once it listens; *out is the new server. config stays yours.
 * On failure *out is NULL and nothing is left running; wsengine_last_error() names the option, the address or what the
 * system lacks. WSENGINE_ERR_INVALID: options that do not go together, or a file that cannot be used; WSENGINE_ERR_IO: an
 * address that cannot be had; WSENGINE_ERR_NOMEM. Two things are of the whole process, also when it fails: the soft limit
 * of open files, and how much is logged (option log_level). Call it after daemon() or fork(), never before.
 */
WSENGINE_MUST_USE
int wsengine_start(const wsengine_config_t *config,
                   wsengine_t **out);

/**
 * Port of the first TCP address; 0 without one.
 */
int wsengine_port(const wsengine_t *server);

/**
 * The address number index (from 0) that the server listens on, as it really is, such as "127.0.0.1:8080"; NULL
 * when there are no more. Valid until wsengine_free().
 */
const char *wsengine_address(const wsengine_t *server, size_t index);

/**
 * Reads the files of the options tls_cert and tls_key again, for connections from now on; those that are there keep
 * what they have. WSENGINE_ERR_INVALID: something is wrong with the files, wsengine_last_error() says what, and
 * nothing has changed.
 */
int wsengine_tls_reload(const wsengine_t *server);

/**
 * Begins a graceful stop and returns at once: nobody new is let in, what is queued is still sent, each connection
 * gets close code 1001, and what is left after timeout_ms (-1: the option drain_ms) is cut. Go on polling until
 * WSENGINE_EVENT_STOPPED. A second call can only shorten the time.
 */
int wsengine_stop(wsengine_t *server, int timeout_ms);

/**
 * Cuts what is still connected, waits for the server's threads to end (milliseconds) and frees everything, also
 * what polled events point to. Needs no wsengine_stop() before; without it nobody gets a CLOSE event any more. NULL is
 * allowed. Calls of other threads that are under way are waited for: a poll returns 0 at once. But whoever polls must have
 * done with its events: stop the server and poll to STOPPED, or join that thread, before. Calls that come later are a
 * mistake; they answer WSENGINE_ERR_STOPPED as long as fewer than 1,024 other servers were freed meanwhile.
 */
void wsengine_free(wsengine_t *server);

/**
 * Takes one event: wsengine_poll_events() with max 1.
 */
int wsengine_poll_event(wsengine_t *server, wsengine_event_t *event, int timeout_ms);

/**
 * Takes up to max events and waits up to timeout_ms for the first one (0: not at all, -1: without limit).
 * Returns how many it took, which may be less than wait; 0 after timeout_ms, after wsengine_wakeup() or when a signal
 * handler ran meanwhile. When it takes none, the type of the first is WSENGINE_EVENT_NONE, but not when another polls.
 * WSENGINE_ERR_STOPPED: WSENGINE_EVENT_STOPPED was taken before; WSENGINE_ERR_BUSY: another thread polls.
 * What the events polled before point to is gone after it, however it ends but with WSENGINE_ERR_BUSY.
 */
int wsengine_poll_events(wsengine_t *server, wsengine_event_t *events, size_t max, int timeout_ms);

/**
 * A descriptor that is readable (level-triggered) while events wait, after wsengine_wakeup(), and when the server has
 * stopped, for poll(2), epoll and event loops: a poll would not wait. Also once after the first call, until the next
 * poll, in case something waits already.
 * It is the server's: only wait on it, never read, write or close it.
 */
int wsengine_event_fd(const wsengine_t *server);

/**
 * Makes the poll that waits now, or else the next one, return 0; but after one that did so, events that wait come first.
 * Any thread; async-signal-safe; also allowed in a log function. It leaves wsengine_last_error() alone.
 */
int wsengine_wakeup(const wsengine_t *server);

/**
 * The value of a header of the request, its name in any case, or NULL if there is none. One that came several times
 * is one value, joined by ", " (cookies by "; "). What is no header has a name with a colon before it: ":method",
 * ":path", ":query", ":scheme" ("ws" or "wss"), ":peer" (the client's address, also behind trusted proxies) and
 * ":subprotocol" (the one agreed on; not before OPEN). Only while the event is valid, by the thread that polls; the
 * text, which ends with a NUL, is valid until the next poll of this server.
 */
const char *wsengine_request_header(const wsengine_t *server,
                                    const wsengine_request_t *request,
                                    const char *name);

/**
 * The value of a cookie of the request, or NULL if it has none of this name; of two the first. As valid as the
 * answer of wsengine_request_header().
 */
const char *wsengine_request_cookie(const wsengine_t *server,
                                    const wsengine_request_t *request,
                                    const char *name);

/**
 * Lets the client in that a HANDSHAKE event asks for; OPEN follows unless it has left meanwhile, and from then on it
 * can be sent to.
 * subprotocol: NULL (the option subprotocols chooses) or one that the client offers. headers: NULL, or lines such as
 * "Set-Cookie: a=1\r\n" for the answer. Any thread. WSENGINE_ERR_DECIDED: it is too late; WSENGINE_ERR_STOPPED.
 * WSENGINE_ERR_INVALID: a subprotocol that is not offered, or headers that cannot be sent; nothing is decided then.
 */
int wsengine_accept(const wsengine_t *server, uint64_t conn, const char *subprotocol, const char *headers);

/**
 * Turns such a client away. status: 300 to 599; body: NULL or text; headers: as for wsengine_accept(), such as
 * "WWW-Authenticate: Basic realm=\"chat\"\r\n" with 401. Its errors are those of wsengine_accept().
 */
int wsengine_reject(const wsengine_t *server, uint64_t conn, int status, const char *body, const char *headers);

/**
 * Queues a message for one connection and returns; data is copied. kind: WSENGINE_TEXT or WSENGINE_BINARY.
 * Messages of one thread to one connection keep their order. WSENGINE_ERR_WOULD_BLOCK: its queue is full, nothing
 * was queued, a WSENGINE_EVENT_DRAIN follows when it is below half. WSENGINE_ERR_NOT_CONNECTED;
 * WSENGINE_ERR_TOO_BIG: larger than the option send_queue_bytes; WSENGINE_ERR_UTF8: text that is none;
 * WSENGINE_ERR_UNSUPPORTED: binary to a client of draft-76; WSENGINE_ERR_STOPPED; WSENGINE_ERR_INVALID: another kind,
 * or data is NULL and len is not 0.
 */
int wsengine_send(const wsengine_t *server, uint64_t conn, int kind, const void *data, size_t len);

/**
 * Queues a message for every open connection and returns for how many. It takes the same time however many they are,
 * and never waits for slow ones: the option slow_consumer says what happens to them. WSENGINE_ERR_TOO_BIG,
 * WSENGINE_ERR_UTF8, WSENGINE_ERR_STOPPED, WSENGINE_ERR_INVALID: as for wsengine_send().
 */
int wsengine_broadcast(const wsengine_t *server, int kind, const void *data, size_t len);

/**
 * As wsengine_broadcast(), but not to the connection except.
 */
int wsengine_broadcast_except(const wsengine_t *server, uint64_t except, int kind, const void *data, size_t len);

/**
 * Starts the closing handshake after what is already queued; the CLOSE event follows. code: 1000 to 1003, 1007 to
 * 1014 or 3000 to 4999; reason: NULL or up to 123 bytes of UTF-8 (RFC 6455, section 7.4). WSENGINE_ERR_INVALID: another
 * code, or a longer reason; WSENGINE_ERR_UTF8; WSENGINE_ERR_NOT_CONNECTED.
 */
int wsengine_close(const wsengine_t *server, uint64_t conn, uint16_t code, const char *reason);

/**
 * Cuts a connection without a closing handshake, also one that is closing; what is queued is lost. The CLOSE event
 * follows; its code is 1006, or that of a close frame that was sent before. WSENGINE_ERR_NOT_CONNECTED.
 */
int wsengine_abort(const wsengine_t *server, uint64_t conn);

/**
 * Bytes queued for a connection that the system has not taken yet, frame headers included, or an error below 0, such as
 * WSENGINE_ERR_NOT_CONNECTED.
 */
int64_t wsengine_buffered(const wsengine_t *server, uint64_t conn);

/**
 * 1 while a connection can be sent to, else 0. It may be gone a moment later: wsengine_send() tells too.
 */
int wsengine_is_open(const wsengine_t *server, uint64_t conn);

/**
 * Reads the counters; set stats->struct_size before. WSENGINE_ERR_INVALID: it is smaller than the first counter needs.
 */
int wsengine_stats(const wsengine_t *server, wsengine_stats_t *stats);

/**
 * Makes a connection a member of a topic, until it is unsubscribed or open no more. A topic needs no making: it is
 * there as long as it has members. topic: 1 to 256 bytes of UTF-8. Returns 1, or 0 when it was a member before.
 * WSENGINE_ERR_INVALID: another name; WSENGINE_ERR_NOT_CONNECTED; WSENGINE_ERR_STOPPED.
 */
int wsengine_subscribe(const wsengine_t *server, uint64_t conn, const char *topic);

/**
 * The same for a topic that tells its members more.
 *
 * since, or NULL: the client first gets what it has missed of a topic that the option history names. It is the position that
 * the client was told last, or empty if it knows none yet and wants all there is. The server tells it how things stand, then
 * the messages, each once and in their order; what means nothing is a gap, no error.
 *
 * label, or NULL: on a topic that the option presence names the client is shown to all members by this text of at most
 * 1,024 bytes of UTF-8 until it is a member no more, and hears who is there; with an empty text it hears that unseen. Another
 * call gives it another label.
 *
 * With the option backplane it is a member as soon as Redis has said what it has missed; 1 then says that this is under way.
 * Its errors are those of wsengine_subscribe(); WSENGINE_ERR_INVALID: also where the options name no such topic.
 * WSENGINE_ERR_WOULD_BLOCK: a member's queue has no room for the list that another label brings.
 */
int wsengine_subscribe_with(const wsengine_t *server,
                            uint64_t conn,
                            const char *topic,
                            const char *since,
                            const char *label);

/**
 * Who is shown on a topic that the option presence names, as JSON: [{"id":"5f0c19ad-17","label":"Ann"},...]. Writes at most
 * size bytes to into, which may be NULL when size is 0, the last of them 0, and returns how many it would be without that.
 * With the option backplane these are the people of all nodes if the topic has members here or
 * the option says its whole name, and this one's otherwise.
 * WSENGINE_ERR_INVALID: a name that no topic can have, or none of the option's.
 */
int wsengine_presence(const wsengine_t *server,
                      const char *topic,
                      char *into,
                      size_t size);

/**
 * Ends a membership. Returns 1, or 0 when there was none. Its errors are those of wsengine_subscribe().
 */
int wsengine_unsubscribe(const wsengine_t *server, uint64_t conn, const char *topic);

/**
 * How many members a topic has; with the option backplane those of this node. WSENGINE_ERR_INVALID: a name that no topic can
 * have; WSENGINE_ERR_STOPPED.
 */
int wsengine_members(const wsengine_t *server,
                     const char *topic);

/**
 * Queues a message for those who are members of a topic now and returns for how many. It takes the same time however
 * many they are. It keeps its place among what this thread sends and broadcasts; what happens to slow members says the
 * option slow_consumer, as for wsengine_broadcast(), and so are the errors. WSENGINE_ERR_INVALID: also a name that no
 * topic can have.
 */
int wsengine_publish(const wsengine_t *server, const char *topic, int kind, const void *data, size_t len);

/**
 * As wsengine_publish(), but not to the connection except.
 */
int wsengine_publish_except(const wsengine_t *server,
                            const char *topic,
                            uint64_t except,
                            int kind,
                            const void *data,
                            size_t len);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#if defined(__cplusplus)
static_assert(sizeof(void *) != 8 || sizeof(wsengine_event_t) == 64, "the size of an event is fixed");
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
_Static_assert(sizeof(void *) != 8 || sizeof(wsengine_event_t) == 64, "the size of an event is fixed");
#endif

#endif /* WSENGINE_H */
