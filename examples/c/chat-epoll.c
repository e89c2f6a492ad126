/* chat-epoll.c - everyone in one room, in an epoll loop of your own: what you type here is said to everyone
 *
 *     cc chat-epoll.c $(pkg-config --cflags --libs wsengine) -o chat-epoll && ./chat-epoll 127.0.0.1:8080 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <wsengine.h>

static wsengine_t *server;
static volatile sig_atomic_t quit;

static void on_signal(int sig)
{
    (void)sig;
    quit = 1;
    wsengine_wakeup(server); /* makes the descriptor readable */
}

static void say(const char *line)
{
    wsengine_broadcast(server, WSENGINE_TEXT, line, strlen(line));
    puts(line);
}

static void handle(const wsengine_event_t *event)
{
    unsigned long long user = event->conn;
    char line[4200];

    if (event->type == WSENGINE_EVENT_OPEN)
        snprintf(line, sizeof line, "* user %llu is here", user);
    else if (event->type == WSENGINE_EVENT_MESSAGE)
        snprintf(line, sizeof line, "<%llu> %.*s", user, (int)event->len, (const char *)event->data);
    else if (event->type == WSENGINE_EVENT_CLOSE)
        snprintf(line, sizeof line, "* user %llu has left (%d)", user, event->code);
    else
        return;
    say(line);
}

/* Says each line that has been typed. Returns 0 at the end of the input. */
static int read_typed(void)
{
    static char typed[1000];
    static size_t len;
    ssize_t n = read(STDIN_FILENO, typed + len, sizeof typed - 1 - len);
    char *line = typed, *end;

    if (n <= 0)
        return 0;
    len += (size_t)n;
    typed[len] = '\0';
    for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        say(line);
    }
    len -= (size_t)(line - typed);
    memmove(typed, line, len);
    if (len == sizeof typed - 1)
        len = 0; /* nobody types such a line */
    return 1;
}

static void watch(int epoll, int fd)
{
    struct epoll_event interest;

    memset(&interest, 0, sizeof interest);
    interest.events = EPOLLIN;
    interest.data.fd = fd;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &interest); /* refuses files, from which nobody types */
}

int main(int argc, char **argv)
{
    wsengine_config_t *config = wsengine_config_new();
    int epoll = epoll_create1(EPOLL_CLOEXEC), ready, n = 0, i;
    wsengine_event_t events[64];
    struct epoll_event at;

    if (wsengine_config_set(config, "listen", argc > 1 ? argv[1] : "127.0.0.1:8080") < 0 ||
        wsengine_config_set(config, "max_message_bytes", "4096") < 0 || wsengine_start(config, &server) < 0) {
        fprintf(stderr, "chat-epoll: %s\n", wsengine_last_error());
        return 1;
    }
    wsengine_config_free(config);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("listening on %s, CTRL-C to quit\n", wsengine_address(server, 0));
    watch(epoll, STDIN_FILENO);
    watch(epoll, wsengine_event_fd(server));
    while (n >= 0) { /* below 0: stopped */
        ready = epoll_wait(epoll, &at, 1, -1);
        if (ready == 1 && at.data.fd == STDIN_FILENO) {
            if (!read_typed())
                epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
        } else if (ready == 1) { /* stays readable while there is more */
            n = wsengine_poll_events(server, events, 64, 0);
            for (i = 0; i < n; i++)
                handle(&events[i]);
        }
        if (quit) {
            quit = 0;
            wsengine_stop(server, 1000);
        }
    }
    wsengine_free(server);
    close(epoll);
    return 0;
}
