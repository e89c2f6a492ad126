/* processes.c - forks, signals and descriptors: the server is a good guest in its host */
#include "test.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "every_call.h"

/* Ends a forked child. By exec, because valgrind would count the memory of the parent's threads as lost here. */
static void leave(int status)
{
    char command[32];

    snprintf(command, sizeof command, "exit %d", status);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(100);
}

/* Runs in a forked child. Its exit status is 0 when all is refused. */
static int use_after_fork(wsengine_t *server, uint64_t conn)
{
    if (who_does_not_answer(WSENGINE_ERR_FORKED, server, conn) != NULL)
        return 1;
    if (strstr(wsengine_last_error(), "fork") == NULL)
        return 2;
    wsengine_free(server);
    return 0;
}

static void a_forked_child_is_refused_and_the_parent_goes_on(void)
{
    wsengine_t *server = start(NULL);
    wsengine_event_t event;
    uint64_t conn;
    int status, fd = open_to(server, &conn);
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0)
        leave(use_after_fork(server, conn));
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);

    CHECK_EQ(wsengine_poll_event(server, &event, 0), 0);
    CHECK_EQ(send_text(server, conn, "unharmed"), WSENGINE_OK);
    CHECK(ws_receives(fd, WS_TEXT, "unharmed"));
    close(fd);
    expect(server, WSENGINE_EVENT_CLOSE);
    wsengine_free(server);
}

static void a_forked_child_may_have_a_server_of_its_own(void)
{
    wsengine_t *server = start(NULL);
    int status;
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        wsengine_t *own;
        uint64_t conn;
        int fd, echoed;
        alarm(WAIT_MS / 1000);
        wsengine_free(server);
        own = start(NULL);
        fd = open_to(own, &conn);
        echoed = send_text(own, conn, "child") == WSENGINE_OK && ws_receives(fd, WS_TEXT, "child");
        wsengine_free(own);
        leave(echoed ? 0 : 1);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    wsengine_free(server);
}

static void descriptors_are_closed_on_exec(void)
{
    wsengine_t *server;
    struct dirent *entry;
    DIR *directory;
    char before[4096] = { 0 };
    uint64_t conn;
    int fd, opened = 0;

    for (fd = 0; fd < (int)sizeof before; fd++)
        before[fd] = fcntl(fd, F_GETFD) >= 0;
    server = start(NULL);
    fd = open_to(server, &conn);
    directory = opendir("/proc/self/fd");
    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        int other = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || other == fd || other >= (int)sizeof before || before[other])
            continue;
        opened++;
        CHECK(fcntl(other, F_GETFD) & FD_CLOEXEC);
    }
    closedir(directory);
    CHECK(opened >= 4);
    close(fd);
    wsengine_free(server);
}

static void the_threads_of_the_server_take_no_signals(void)
{
    wsengine_t *server = start("io_threads", "2", NULL);
    sigset_t mine, before, pending;

    /* Blocked here, a signal to the process would go to any other thread that does not block it, and kill. */
    sigemptyset(&mine);
    sigaddset(&mine, SIGTERM);
    sigaddset(&mine, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &mine, &before);
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGUSR2);
    sleep_ms(20);
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGTERM) == 1 && sigismember(&pending, SIGUSR2) == 1);
    signal(SIGTERM, SIG_IGN); /* forgets what is pending */
    signal(SIGUSR2, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    wsengine_free(server);
}

static void the_mask_of_the_host_stays(void)
{
    wsengine_event_t event;
    wsengine_t *server;
    sigset_t mask;
    int sig;

    server = start(NULL);
    wsengine_poll_event(server, &event, 1);
    wsengine_free(server);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (sig = 1; sig < 32; sig++)
        CHECK(sigismember(&mask, sig) != 1);
}

/* Writing to a connection that was reset raises SIGPIPE, which by default ends the process. */
static void peers_that_reset_raise_no_sigpipe(void)
{
    enum { ROUNDS = 100, BURST = 20 };
    wsengine_t *server = start(NULL);
    static char block[8 * 1024];
    wsengine_event_t event;
    struct sigaction action;
    int i, j;

    CHECK_EQ(sigaction(SIGPIPE, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_DFL);
    for (i = 0; i < ROUNDS; i++) {
        uint64_t conn;
        int fd = open_to(server, &conn);
        for (j = 0; j < BURST; j++) {
            wsengine_send(server, conn, WSENGINE_BINARY, block, sizeof block);
            if (j == BURST / 2)
                ws_reset(fd);
        }
        do
            event = expect(server, WSENGINE_EVENT_CLOSE);
        while (event.conn != conn);
    }
    wsengine_free(server);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(a_forked_child_is_refused_and_the_parent_goes_on),
        TEST(a_forked_child_may_have_a_server_of_its_own),
        TEST(descriptors_are_closed_on_exec),
        TEST(the_threads_of_the_server_take_no_signals),
        TEST(the_mask_of_the_host_stays),
        TEST(peers_that_reset_raise_no_sigpipe),
    };
    return RUN_TESTS(tests);
}
