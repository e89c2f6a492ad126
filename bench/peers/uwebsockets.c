/* uWebSockets, by the C functions of the library in PyPI's socketify, which runs it on libuv.
 *
 *   uwebsockets echo|broadcast          prints "listening on 127.0.0.1:PORT"
 *
 * cc: {tools}/libsocketify_linux_amd64.so -Wl,-rpath,{tools} -luv
 *
 * The library comes without a header for C: what is declared here are the functions that are called, with the layout
 * of their arguments.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct app;
struct socket;
struct listener;

typedef struct {
    int port;
    const char *host;
    int options;
} listen_config;

typedef void on_socket(struct socket *socket, void *data);

/* Times are in seconds, sizes in bytes. */
typedef struct {
    int compression;
    unsigned max_payload;
    unsigned short idle_timeout;
    unsigned max_backpressure;
    bool close_on_backpressure, reset_idle_timeout_on_send, send_pings;
    unsigned short max_lifetime;
    void *upgrade;
    on_socket *open;
    void (*message)(struct socket *socket, const char *bytes, size_t len, int opcode, void *data);
    on_socket *drain;
    void *ping, *pong, *close, *subscription;
} behavior;

/* For TLS, which is not used: all are zero. */
typedef struct {
    const char *files[6];
    int prefer_low_memory;
} context_options;

void *socketify_create_loop(void);
int socketify_loop_run(void *loop, int mode);
void *socketify_get_native_loop(void *loop);
void uws_get_loop_with_native(void *native);
struct app *uws_create_app(int ssl, context_options options);
void uws_ws(int ssl, struct app *app, const char *pattern, behavior behavior, void *data);
void uws_app_listen_with_config(int ssl, struct app *app, listen_config config,
                                void (*listening)(struct listener *, listen_config, void *), void *data);
int us_socket_local_port(int ssl, struct listener *listener);
int uws_ws_send(int ssl, struct socket *socket, const char *bytes, size_t len, int opcode);
bool uws_ws_subscribe(int ssl, struct socket *socket, const char *topic, size_t len);
bool uws_publish(int ssl, struct app *app, const char *topic, size_t topic_len, const char *bytes, size_t len, int opcode,
                 bool compress);

static struct app *app;

static void echo(struct socket *socket, const char *bytes, size_t len, int opcode, void *data)
{
    (void)data;
    uws_ws_send(0, socket, bytes, len, opcode);
}

static void subscribe(struct socket *socket, void *data)
{
    (void)data;
    uws_ws_subscribe(0, socket, "all", 3);
}

static void broadcast(struct socket *socket, const char *bytes, size_t len, int opcode, void *data)
{
    (void)socket, (void)data;
    uws_publish(0, app, "all", 3, bytes, len, opcode, false);
}

static void listening(struct listener *listener, listen_config config, void *data)
{
    (void)config, (void)data;
    printf("listening on 127.0.0.1:%d\n", listener ? us_socket_local_port(0, listener) : 0);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int broadcasts = argc == 2 && strcmp(argv[1], "broadcast") == 0;
    if (argc != 2 || (!broadcasts && strcmp(argv[1], "echo") != 0)) {
        fprintf(stderr, "usage: uwebsockets echo|broadcast\n");
        return 2;
    }
    void *loop = socketify_create_loop();
    uws_get_loop_with_native(socketify_get_native_loop(loop));
    app = uws_create_app(0, (context_options){0});
    uws_ws(0, app, "/*",
           (behavior){
               .max_payload = 1 << 20,
               .idle_timeout = 60,
               .max_backpressure = 1 << 20,
               .send_pings = true,
               .open = broadcasts ? subscribe : NULL,
               .message = broadcasts ? broadcast : echo,
           },
           NULL);
    uws_app_listen_with_config(0, app, (listen_config){.host = "127.0.0.1"}, listening, NULL);
    return socketify_loop_run(loop, 0);
}
