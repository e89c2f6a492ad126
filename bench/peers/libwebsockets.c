/* libwebsockets, as its documentation would have it: what is to be sent is queued, and written when the connection says
 * that it is writable, for as long as it takes more.
 *
 *   libwebsockets echo|broadcast          prints "listening on 127.0.0.1:PORT"
 *
 * cc: -lwebsockets
 */
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A message, shared by all that have yet to write it, with the room that libwebsockets wants before it. */
struct message {
    unsigned users;
    size_t len;
    enum lws_write_protocol kind;
    unsigned char bytes[];
};

struct session {
    struct session *next;
    struct lws *wsi;
    struct message **queue;
    size_t begin, end, room;
    /* What has come of a message: libwebsockets hands it out as it comes. */
    struct message *partial;
};

static struct session *sessions;
static int broadcasts;

static void push(struct session *session, struct message *message)
{
    if (session->end == session->room) {
        size_t waiting = session->end - session->begin;
        memmove(session->queue, session->queue + session->begin, waiting * sizeof *session->queue);
        session->begin = 0;
        session->end = waiting;
        if (waiting * 2 > session->room || session->room == 0) {
            session->room = session->room ? session->room * 2 : 32;
            if (!(session->queue = realloc(session->queue, session->room * sizeof *session->queue)))
                abort();
        }
    }
    session->queue[session->end++] = message;
    message->users++;
    lws_callback_on_writable(session->wsi);
}

static void let_go(struct message *message)
{
    if (--message->users == 0)
        free(message);
}

static void receive(struct session *session, const void *bytes, size_t len)
{
    size_t before = session->partial ? session->partial->len : 0;
    struct message *message = realloc(session->partial, sizeof *message + LWS_PRE + before + len);
    if (!message)
        abort();
    memcpy(message->bytes + LWS_PRE + before, bytes, len);
    message->len = before + len;
    if (!lws_is_final_fragment(session->wsi) || lws_remaining_packet_payload(session->wsi) > 0) {
        session->partial = message;
        return;
    }
    session->partial = NULL;
    message->users = 1;
    message->kind = lws_frame_is_binary(session->wsi) ? LWS_WRITE_BINARY : LWS_WRITE_TEXT;
    if (broadcasts)
        for (struct session *each = sessions; each; each = each->next)
            push(each, message);
    else
        push(session, message);
    let_go(message);
}

static int write_all(struct session *session)
{
    int status = 0;
    while (status == 0 && session->begin < session->end && !lws_send_pipe_choked(session->wsi)) {
        struct message *message = session->queue[session->begin++];
        if (lws_write(session->wsi, message->bytes + LWS_PRE, message->len, message->kind) < (int)message->len)
            status = -1;
        let_go(message);
    }
    if (status == 0 && session->begin < session->end)
        lws_callback_on_writable(session->wsi);
    return status;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct session *session = user;
    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        *session = (struct session){.next = sessions, .wsi = wsi};
        sessions = session;
        return 0;
    case LWS_CALLBACK_RECEIVE:
        receive(session, in, len);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return write_all(session);
    case LWS_CALLBACK_CLOSED:
        for (struct session **link = &sessions; *link; link = &(*link)->next)
            if (*link == session) {
                *link = session->next;
                break;
            }
        while (session->begin < session->end)
            let_go(session->queue[session->begin++]);
        free(session->queue);
        free(session->partial);
        return 0;
    default:
        return 0;
    }
}

int main(int argc, char **argv)
{
    static const struct lws_protocols PROTOCOLS[] = {
        {.name = "bench", .callback = on_event, .per_session_data_size = sizeof(struct session), .rx_buffer_size = 1 << 17},
        {0},
    };
    broadcasts = argc == 2 && strcmp(argv[1], "broadcast") == 0;
    if (argc != 2 || (!broadcasts && strcmp(argv[1], "echo") != 0)) {
        fprintf(stderr, "usage: libwebsockets echo|broadcast\n");
        return 2;
    }
    lws_set_log_level(LLL_ERR, NULL);
    /* A port of 0 is one that the system chooses. */
    struct lws_context *context = lws_create_context(&(struct lws_context_creation_info){
        .iface = "127.0.0.1",
        .protocols = PROTOCOLS,
        .pt_serv_buf_size = 1 << 17,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
    });
    struct lws_vhost *host = context ? lws_create_vhost(context, &(struct lws_context_creation_info){
                                           .iface = "127.0.0.1", .protocols = PROTOCOLS})
                                     : NULL;
    if (!host)
        return 1;
    printf("listening on 127.0.0.1:%d\n", lws_get_vhost_listen_port(host));
    fflush(stdout);
    while (lws_service(context, 0) >= 0) {
    }
    return 1;
}
