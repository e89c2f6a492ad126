/* examples.c - the programs of examples/c, run as their users run them */
#include "test.h"

#include <sys/prctl.h>
#include <sys/wait.h>

typedef struct {
    pid_t pid;
    int input;
    FILE *output;
    int port, second_port;
} program_t;

static int read_port(FILE *output)
{
    char line[200] = "";
    int port = 0;

    CHECK(fgets(line, sizeof line, output) != NULL);
    CHECK_EQ(sscanf(line, "listening on 127.0.0.1:%d", &port), 1);
    return port;
}

/* Starts it on a free port, or on two. */
static program_t begin(const char *path, int ports)
{
    static const char any[] = "127.0.0.1:0";
    program_t program = { 0, 0, NULL, 0, 0 };
    int input[2], output[2];

    CHECK(pipe(input) == 0 && pipe(output) == 0);
    program.pid = fork();
    CHECK(program.pid >= 0);
    if (program.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* outlives no failed test */
        dup2(input[0], STDIN_FILENO);
        dup2(output[1], STDOUT_FILENO);
        close(input[0]);
        close(input[1]);
        close(output[0]);
        close(output[1]);
        execl(path, path, any, ports == 2 ? any : NULL, (char *)NULL);
        _exit(127);
    }
    close(input[0]);
    close(output[1]);
    program.input = input[1];
    program.output = fdopen(output[0], "r");
    CHECK(program.output != NULL);
    program.port = read_port(program.output);
    if (ports == 2)
        program.second_port = read_port(program.output);
    return program;
}

static void end(program_t program, int sig)
{
    int64_t begun = now_ms();
    int status;

    CHECK_EQ(kill(program.pid, sig), 0);
    CHECK_EQ(waitpid(program.pid, &status, 0), program.pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
    CHECK(now_ms() - begun < 5000);
    fclose(program.output);
    close(program.input);
}

static int open_at(program_t program)
{
    int fd = ws_open(program.port, "/");

    CHECK(fd >= 0);
    return fd;
}

static void echo_sends_back_and_says_goodbye(void)
{
    program_t program = begin("target/examples-c/echo", 1);
    int fd = open_at(program);

    ws_send_text(fd, "hello");
    CHECK(ws_receives(fd, WS_TEXT, "hello"));
    ws_send(fd, WS_BINARY, "\1\2\3", 3);
    CHECK(ws_receives(fd, WS_BINARY, "\1\2\3"));
    kill(program.pid, SIGTERM);
    CHECK(ws_receives_close(fd, 1001, ""));
    ws_send_close(fd, 1001, "");
    CHECK(ws_ended(fd));
    end(program, 0);
    close(fd);
}

static void *send_much(void *fd)
{
    enum { MESSAGES = 100, SIZE = 1 << 20 };
    char *message = calloc(1, SIZE);
    int i;

    for (i = 0; i < MESSAGES; i++) {
        memcpy(message, &i, sizeof i);
        if (ws_send(*(int *)fd, WS_BINARY, message, SIZE) < 0)
            break;
    }
    free(message);
    return NULL;
}

/* 100 MiB and a queue of 64: a peer that does not read for a while fills it, and must miss nothing. */
static void echo_keeps_what_a_slow_peer_cannot_take_yet(void)
{
    enum { MESSAGES = 100, SIZE = 1 << 20 };
    program_t program = begin("target/examples-c/echo", 1);
    char *message = malloc(SIZE + 1);
    int i, number, fd = open_at(program);
    pthread_t sender;
    size_t len;

    CHECK(message != NULL);
    CHECK_EQ(pthread_create(&sender, NULL, send_much, &fd), 0);
    pthread_join(sender, NULL); /* it ends, because echo goes on reading */
    for (i = 0; i < MESSAGES; i++) {
        CHECK_EQ(ws_receive(fd, message, SIZE + 1, &len), WS_BINARY);
        memcpy(&number, message, sizeof number);
        CHECK_EQ(len, SIZE);
        CHECK_EQ(number, i);
    }
    free(message);
    close(fd);
    end(program, SIGINT);
}

/* 300 MiB to a peer that reads nothing before it has sent all: more than is kept for it. */
static void echo_closes_who_would_take_all_memory(void)
{
    enum { MESSAGES = 300, SIZE = 1 << 20 };
    program_t program = begin("target/examples-c/echo", 1);
    char *message = calloc(1, SIZE + 1);
    int i, opcode = 0, fd = open_at(program);
    size_t len = 0;

    CHECK(message != NULL);
    for (i = 0; i < MESSAGES && ws_send(fd, WS_BINARY, message, SIZE) == 0; i++)
        ;
    for (i = 0; i < MESSAGES && (opcode = ws_receive(fd, message, SIZE + 1, &len)) == WS_BINARY; i++)
        ;
    CHECK_EQ(opcode, WS_CLOSE);
    CHECK_EQ((unsigned char)message[0] << 8 | (unsigned char)message[1], 1013);
    CHECK(i >= 64);
    free(message);
    close(fd);
    end(program, SIGINT);
}

static void everyone_hears_everyone(const char *path)
{
    program_t program = begin(path, 1);
    char line[200], text[200];
    size_t len;
    int one = open_at(program), two;

    CHECK_EQ(ws_receive(one, line, sizeof line, &len), WS_TEXT);
    CHECK_HAS(line, "is here");
    two = open_at(program);
    CHECK_EQ(ws_receive(one, line, sizeof line, &len), WS_TEXT);
    CHECK_EQ(ws_receive(two, text, sizeof text, &len), WS_TEXT);
    CHECK_TEXT(line, text);

    ws_send_text(one, "Gr\xc3\xbc\xc3\x9f Gott 100%s");
    CHECK_EQ(ws_receive(two, line, sizeof line, &len), WS_TEXT);
    CHECK_HAS(line, "> Gr\xc3\xbc\xc3\x9f Gott 100%s");
    CHECK(ws_receives(one, WS_TEXT, line));
    close(two);
    CHECK_EQ(ws_receive(one, line, sizeof line, &len), WS_TEXT);
    CHECK_HAS(line, "has left (1006)");
    end(program, SIGINT);
    CHECK(ws_receives_close(one, 1001, ""));
    close(one);
}

static void the_chat(void)
{
    everyone_hears_everyone("target/examples-c/chat");
}

static void the_chat_in_epoll(void)
{
    everyone_hears_everyone("target/examples-c/chat-epoll");
}

static void the_chat_in_libuv(void)
{
    everyone_hears_everyone("target/examples-c/chat-libuv");
}

static void the_chat_in_libevent(void)
{
    everyone_hears_everyone("target/examples-c/chat-libevent");
}

static void what_is_typed_is_said_to_everyone(void)
{
    program_t program = begin("target/examples-c/chat-epoll", 1);
    int fd = open_at(program), again;
    char line[200];
    size_t len;

    CHECK_EQ(ws_receive(fd, line, sizeof line, &len), WS_TEXT);
    CHECK_EQ(write(program.input, "We close at six.\nOr at sev", 26), 26);
    CHECK(ws_receives(fd, WS_TEXT, "We close at six."));
    CHECK_EQ(write(program.input, "en.\n", 4), 4);
    CHECK(ws_receives(fd, WS_TEXT, "Or at seven."));
    close(program.input); /* the end of what is typed is not the end of the chat */
    program.input = -1;
    again = open_at(program);
    CHECK_EQ(ws_receive(fd, line, sizeof line, &len), WS_TEXT);
    CHECK_HAS(line, "is here");
    end(program, SIGTERM);
    close(fd);
    close(again);
}

static void the_ticker_publishes_what_was_asked_for(void)
{
    program_t program = begin("target/examples-c/ticker", 1);
    int euro = ws_open(program.port, "/EUR"), yen = ws_open(program.port, "/JPY"), other = ws_open(program.port, "/XXX");
    char line[200];
    double price;
    size_t len;

    CHECK(euro >= 0 && yen >= 0 && other >= 0);
    CHECK(ws_receives_close(other, 4404, "there are /EUR, /USD and /JPY"));
    CHECK_EQ(ws_receive(euro, line, sizeof line, &len), WS_TEXT);
    CHECK_EQ(sscanf(line, "EUR %lf", &price), 1);
    CHECK_EQ(ws_receive(yen, line, sizeof line, &len), WS_TEXT);
    CHECK_EQ(sscanf(line, "JPY %lf", &price), 1);
    CHECK_EQ(ws_receive(euro, line, sizeof line, &len), WS_TEXT);
    CHECK_EQ(sscanf(line, "EUR %lf", &price), 1);
    end(program, SIGINT);
    close(euro);
    close(yen);
    close(other);
}

static void two_servers_in_one_loop(void)
{
    program_t program = begin("target/examples-c/two-servers", 2);
    int guest = open_at(program), desk = ws_open(program.second_port, "/");
    char line[200];
    size_t len;

    CHECK(desk >= 0);
    ws_send(guest, WS_PING, "", 0);
    CHECK(ws_receives(guest, WS_PONG, "")); /* now it is there, and not only its handshake */
    ws_send_text(desk, "Welcome!");
    CHECK(ws_receives(desk, WS_TEXT, "desk: Welcome!"));
    CHECK(ws_receives(guest, WS_TEXT, "desk: Welcome!"));
    ws_send_text(guest, "Thank you.");
    CHECK_EQ(ws_receive(desk, line, sizeof line, &len), WS_TEXT);
    CHECK_HAS(line, ": Thank you.");
    CHECK(ws_receives(guest, WS_TEXT, line));
    end(program, SIGTERM);
    CHECK(ws_receives_close(guest, 1001, ""));
    CHECK(ws_receives_close(desk, 1001, ""));
    close(guest);
    close(desk);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(echo_sends_back_and_says_goodbye),
        TEST(echo_keeps_what_a_slow_peer_cannot_take_yet),
        TEST(echo_closes_who_would_take_all_memory),
        TEST(the_chat),
        TEST(the_chat_in_epoll),
        TEST(the_chat_in_libuv),
        TEST(the_chat_in_libevent),
        TEST(what_is_typed_is_said_to_everyone),
        TEST(the_ticker_publishes_what_was_asked_for),
        TEST(two_servers_in_one_loop),
    };
    return RUN_TESTS(tests);
}
