/* log.c - the log function: its levels, its lines, its end */
#include "test.h"

#define MOST 100

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char lines[MOST][1000];
static int levels[MOST], count;

static void keep(int level, const char *line, void *user_data)
{
    pthread_mutex_lock(&lock);
    if (user_data == lines && count < MOST) {
        snprintf(lines[count], sizeof lines[count], "%s", line);
        levels[count++] = level;
    }
    pthread_mutex_unlock(&lock);
}

/* Opens a connection with an agent whose name would forge a line, and closes it. */
static void one_connection(const char *level)
{
    wsengine_t *server = start("log_level", level, NULL);
    uint64_t conn;

    count = 0;
    close(open_to(server, &conn));
    expect(server, WSENGINE_EVENT_CLOSE);
    wsengine_free(server);
}

static void handshakes_are_shown_at_debug(void)
{
    int i, found = 0;

    wsengine_set_log(keep, lines);
    one_connection("debug");
    CHECK(count > 0 && count < MOST);
    for (i = 0; i < count; i++) {
        CHECK(levels[i] >= 1 && levels[i] <= 4);
        CHECK(strchr(lines[i], '\n') == NULL);
        found |= strstr(lines[i], "dGhlIHNhbXBsZSBub25jZQ==") != NULL;
    }
    CHECK(found);
    wsengine_set_log(NULL, NULL);
}

static void nothing_is_shown_at_warn(void)
{
    wsengine_set_log(keep, lines);
    one_connection("warn");
    CHECK_EQ(count, 0);
    wsengine_set_log(NULL, NULL);
}

static void after_its_end_the_function_is_not_called(void)
{
    wsengine_set_log(keep, lines);
    wsengine_set_log(NULL, NULL);
    one_connection("trace");
    CHECK_EQ(count, 0);
}

/* A hundred refused requests: their lines are few, and say how many are missing. */
static void peers_cannot_flood_the_log(void)
{
    wsengine_t *server;
    int i, refused = 0, missing = 0, seen = 0;
    char head[500];

    count = 0;
    wsengine_set_log(keep, lines);
    server = start("log_level", "info", NULL);
    while (missing == 0) {
        for (i = 0; i < 100; i++) {
            int fd = ws_ask(wsengine_port(server), "/", "Sec-WebSocket-Key: twice\r\n");
            CHECK_EQ(ws_answer(fd, head, sizeof head), 400);
            close(fd);
            refused++;
        }
        sleep_ms(100); /* lines come again after a second */
        pthread_mutex_lock(&lock);
        for (; seen < count; seen++) {
            const char *left_out = strstr(lines[seen], "left_out=");
            missing += strstr(lines[seen], "refused") != NULL && left_out != NULL ? atoi(left_out + 9) : 0;
        }
        pthread_mutex_unlock(&lock);
    }
    CHECK(seen < MOST && missing + seen <= refused + 1);
    wsengine_free(server);
    wsengine_set_log(NULL, NULL);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(handshakes_are_shown_at_debug),
        TEST(nothing_is_shown_at_warn),
        TEST(after_its_end_the_function_is_not_called),
        TEST(peers_cannot_flood_the_log),
    };
    return RUN_TESTS(tests);
}
