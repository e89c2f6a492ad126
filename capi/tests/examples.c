/* examples.c - the programs of examples/c, run as their users run them */
#include "test.h"

#include <sys/prctl.h>
#include <sys/wait.h>

typedef struct {
    pid_t pid;
    FILE *output;
    int port;
} program_t;

static program_t begin(const char *path)
{
    program_t program = { 0, NULL, 0 };
    char line[200] = "";
    int ends[2];

    CHECK_EQ(pipe(ends), 0);
    program.pid = fork();
    CHECK(program.pid >= 0);
    if (program.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* outlives no failed test */
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl(path, path, "127.0.0.1:0", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    program.output = fdopen(ends[0], "r");
    CHECK(program.output != NULL && fgets(line, sizeof line, program.output) != NULL);
    CHECK_EQ(sscanf(line, "listening on 127.0.0.1:%d", &program.port), 1);
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
}

static int open_at(program_t program)
{
    int fd = ws_open(program.port, "/");

    CHECK(fd >= 0);
    return fd;
}

static void echo_sends_back_and_says_goodbye(void)
{
    program_t program = begin("target/examples-c/echo");
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
    enum { MESSAGES = 200, SIZE = 1 << 20 };
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

/* 200 MiB and a queue of 64: a peer that does not read for a while fills it, and must miss nothing. */
static void echo_keeps_what_a_slow_peer_cannot_take_yet(void)
{
    enum { MESSAGES = 200, SIZE = 1 << 20 };
    program_t program = begin("target/examples-c/echo");
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

static void everyone_hears_everyone_in_the_chat(void)
{
    program_t program = begin("target/examples-c/chat");
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

int main(void)
{
    static const test_t tests[] = {
        TEST(echo_sends_back_and_says_goodbye),
        TEST(echo_keeps_what_a_slow_peer_cannot_take_yet),
        TEST(everyone_hears_everyone_in_the_chat),
    };
    return RUN_TESTS(tests);
}
