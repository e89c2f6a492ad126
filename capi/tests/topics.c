/* topics.c - named groups of connections */
#include "test.h"

static wsengine_t *server;

static int publish_text(const char *topic, const char *text)
{
    return wsengine_publish(server, topic, WSENGINE_TEXT, text, strlen(text));
}

static uint64_t subscriptions(void)
{
    wsengine_stats_t stats;

    stats.struct_size = sizeof stats;
    CHECK_EQ(wsengine_stats(server, &stats), WSENGINE_OK);
    return stats.subscriptions;
}

static void members_get_what_is_published(void)
{
    uint64_t one, two, three;
    int fd_one, fd_two, fd_three;

    server = start("io_threads", "2", NULL);
    fd_one = open_to(server, &one);
    fd_two = open_to(server, &two);
    fd_three = open_to(server, &three);
    CHECK_EQ(publish_text("news", "nobody is there"), 0);
    CHECK_EQ(wsengine_subscribe(server, one, "news"), 1);
    CHECK_EQ(wsengine_subscribe(server, one, "news"), 0);
    CHECK_EQ(wsengine_subscribe(server, two, "news"), 1);
    CHECK_EQ(wsengine_subscribe(server, three, "weather"), 1);
    CHECK_EQ(subscriptions(), 3);
    CHECK_EQ(wsengine_members(server, "news"), 2);
    CHECK_EQ(wsengine_members(server, "sports"), 0);
    CHECK_EQ(wsengine_members(server, ""), WSENGINE_ERR_INVALID);

    CHECK_EQ(publish_text("news", "to both"), 2);
    CHECK_EQ(wsengine_publish_except(server, "news", one, WSENGINE_BINARY, "\1\2", 2), 1);
    CHECK_EQ(wsengine_unsubscribe(server, two, "news"), 1);
    CHECK_EQ(wsengine_unsubscribe(server, two, "news"), 0);
    CHECK_EQ(publish_text("news", "to one"), 1);
    CHECK_EQ(publish_text("weather", "rain"), 1);
    CHECK_EQ(wsengine_broadcast(server, WSENGINE_TEXT, "end", 3), 3);

    CHECK(ws_receives(fd_one, WS_TEXT, "to both"));
    CHECK(ws_receives(fd_one, WS_TEXT, "to one"));
    CHECK(ws_receives(fd_one, WS_TEXT, "end"));
    CHECK(ws_receives(fd_two, WS_TEXT, "to both"));
    CHECK(ws_receives(fd_two, WS_BINARY, "\1\2"));
    CHECK(ws_receives(fd_two, WS_TEXT, "end"));
    CHECK(ws_receives(fd_three, WS_TEXT, "rain"));
    CHECK(ws_receives(fd_three, WS_TEXT, "end"));
    close(fd_one);
    close(fd_two);
    close(fd_three);
    wsengine_free(server);
}

static void a_membership_ends_with_the_connection(void)
{
    uint64_t conn;
    int fd;

    server = start(NULL);
    fd = open_to(server, &conn);
    CHECK_EQ(wsengine_subscribe(server, conn, "news"), 1);
    CHECK_EQ(wsengine_close(server, conn, 1000, NULL), WSENGINE_OK);
    CHECK_EQ(publish_text("news", "too late"), 0);
    CHECK_EQ(subscriptions(), 0);
    CHECK_EQ(wsengine_subscribe(server, conn, "news"), WSENGINE_ERR_NOT_CONNECTED);
    CHECK(ws_receives_close(fd, 1000, ""));
    close(fd);
    wsengine_free(server);
}

static void a_name_that_cannot_be_is_refused(void)
{
    char name[258];
    uint64_t conn;
    int fd;

    server = start(NULL);
    fd = open_to(server, &conn);
    memset(name, 'n', sizeof name);
    name[257] = '\0';
    CHECK_EQ(wsengine_subscribe(server, conn, NULL), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "topic is NULL");
    CHECK_EQ(wsengine_subscribe(server, conn, ""), WSENGINE_ERR_INVALID);
    CHECK_EQ(wsengine_subscribe(server, conn, "\xff"), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "topic is not UTF-8");
    CHECK_EQ(wsengine_unsubscribe(server, conn, name), WSENGINE_ERR_INVALID);
    CHECK_HAS(wsengine_last_error(), "257");
    CHECK_HAS(wsengine_last_error(), "256");
    CHECK_EQ(publish_text(name, "x"), WSENGINE_ERR_INVALID);
    CHECK_EQ(wsengine_publish(server, "news", 9, "x", 1), WSENGINE_ERR_INVALID);
    CHECK_EQ(wsengine_publish(server, "news", WSENGINE_TEXT, NULL, 1), WSENGINE_ERR_INVALID);
    CHECK_EQ(wsengine_publish(server, "news", WSENGINE_TEXT, "\xff", 1), WSENGINE_ERR_UTF8);
    name[256] = '\0';
    CHECK_EQ(wsengine_subscribe(server, conn, name), 1);
    CHECK_EQ(publish_text(name, "long name"), 1);
    CHECK(ws_receives(fd, WS_TEXT, "long name"));
    CHECK_EQ(wsengine_subscribe(server, conn, "caf\xc3\xa9"), 1);
    CHECK_EQ(publish_text("caf\xc3\xa9", "an accent"), 1);
    CHECK(ws_receives(fd, WS_TEXT, "an accent"));
    CHECK_EQ(wsengine_subscribe(server, conn, "caf\xc3"), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "topic is not UTF-8");
    close(fd);
    wsengine_free(server);
}

/* The next message: the line of JSON of its envelope, and what follows. */
static int receives_envelope(int fd, char *head, size_t size, const char *message)
{
    char buffer[4096];
    size_t len = 0;
    char *end;

    if (ws_receive(fd, buffer, sizeof buffer - 1, &len) != WS_TEXT || buffer[0] != 1)
        return 0;
    buffer[len] = '\0';
    end = strchr(buffer, '\n');
    if (end == NULL || (size_t)(end - buffer) > size)
        return 0;
    *end = '\0';
    strcpy(head, buffer + 1);
    return strcmp(end + 1, message) == 0;
}

static void who_comes_back_gets_what_was_missed(void)
{
    char head[256], at[64];
    uint64_t one, two;
    int fd_one, fd_two;

    server = start("history", "room:=10/60", NULL);
    fd_one = open_to(server, &one);
    fd_two = open_to(server, &two);
    CHECK_EQ(wsengine_subscribe_with(server, one, "room:1", "", NULL), 1);
    CHECK(receives_envelope(fd_one, head, sizeof head, ""));
    CHECK_TEXT(head, "{\"topic\":\"room:1\",\"gap\":false,\"replay\":0}");
    CHECK_EQ(publish_text("room:1", "first"), 1);
    CHECK(receives_envelope(fd_one, head, sizeof head, "first"));
    CHECK_EQ(sscanf(head, "{\"topic\":\"room:1\",\"at\":\"%63[^\"]", at), 1);
    CHECK_EQ(publish_text("room:1", "second"), 1);

    CHECK_EQ(wsengine_subscribe_with(server, two, "room:1", at, NULL), 1);
    CHECK(receives_envelope(fd_two, head, sizeof head, ""));
    CHECK_HAS(head, "\"gap\":false,\"replay\":1");
    CHECK(receives_envelope(fd_two, head, sizeof head, "second"));
    CHECK_EQ(wsengine_subscribe_with(server, two, "room:2", "\xff no position", NULL), 1);
    CHECK(receives_envelope(fd_two, head, sizeof head, ""));
    CHECK_TEXT(head, "{\"topic\":\"room:2\",\"gap\":true,\"replay\":0}");
    CHECK_EQ(wsengine_subscribe_with(server, two, "other", "", NULL), WSENGINE_ERR_INVALID);
    CHECK_HAS(wsengine_last_error(), "\"history\"");
    CHECK_EQ(wsengine_subscribe_with(server, two, "other", NULL, NULL), 1);
    close(fd_one);
    close(fd_two);
    wsengine_free(server);
}

static void who_is_there_is_told(void)
{
    char head[256], people[128], few[6] = "?????";
    char label[1026];
    uint64_t one, two;
    int fd_one, fd_two, len;

    server = start("presence", "room:", NULL);
    fd_one = open_to(server, &one);
    fd_two = open_to(server, &two);
    CHECK_EQ(wsengine_presence(server, "room:1", NULL, 0), 2);
    CHECK_EQ(wsengine_subscribe_with(server, one, "room:1", NULL, "Ann \"A\""), 1);
    CHECK(receives_envelope(fd_one, head, sizeof head, ""));
    CHECK_HAS(head, "{\"topic\":\"room:1\",\"present\":[{\"id\":\"");
    CHECK_HAS(head, "\"label\":\"Ann \\\"A\\\"\"}]}");
    len = wsengine_presence(server, "room:1", people, sizeof people);
    CHECK_EQ((size_t)len, strlen(people));
    CHECK_HAS(head, people);
    CHECK_EQ(wsengine_presence(server, "room:1", few, sizeof few), len);
    CHECK(strncmp(few, people, sizeof few - 1) == 0 && few[sizeof few - 1] == '\0');

    CHECK_EQ(wsengine_subscribe_with(server, two, "room:1", NULL, "Bob"), 1);
    do { /* first of Ann herself, or of both together */
        CHECK(receives_envelope(fd_one, head, sizeof head, ""));
        CHECK_HAS(head, "\"joined\":[{\"id\":\"");
    } while (strstr(head, "\"label\":\"Bob\"") == NULL);
    CHECK_EQ(wsengine_unsubscribe(server, two, "room:1"), 1);
    CHECK(receives_envelope(fd_one, head, sizeof head, ""));
    CHECK_HAS(head, "\"left\":[{\"id\":\"");

    memset(label, 'x', sizeof label);
    label[1025] = '\0';
    CHECK_EQ(wsengine_subscribe_with(server, two, "room:1", NULL, label), WSENGINE_ERR_INVALID);
    CHECK_HAS(wsengine_last_error(), "1025");
    CHECK_HAS(wsengine_last_error(), "1024");
    CHECK_EQ(wsengine_subscribe_with(server, two, "room:1", NULL, "\xff"), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "label is not UTF-8");
    CHECK_EQ(wsengine_subscribe_with(server, two, "other", NULL, "Bob"), WSENGINE_ERR_INVALID);
    CHECK_HAS(wsengine_last_error(), "\"presence\"");
    CHECK_EQ(wsengine_presence(server, "other", people, sizeof people), WSENGINE_ERR_INVALID);
    CHECK_EQ(wsengine_presence(server, "room:1", NULL, 1), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "into is NULL");
    close(fd_one);
    close(fd_two);
    wsengine_free(server);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(members_get_what_is_published),
        TEST(a_membership_ends_with_the_connection),
        TEST(a_name_that_cannot_be_is_refused),
        TEST(who_comes_back_gets_what_was_missed),
        TEST(who_is_there_is_told),
    };
    return RUN_TESTS(tests);
}
