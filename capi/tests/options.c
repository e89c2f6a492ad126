/* options.c - the table of options, as a program that has a configuration file of its own reads it */
#include "test.h"

static const wsengine_option_info_t *find(const char *name)
{
    const wsengine_option_info_t *option;
    size_t i;

    for (i = 0; (option = wsengine_option_info(i)) != NULL; i++)
        if (strcmp(option->name, name) == 0)
            return option;
    return NULL;
}

static void each_option_takes_its_default(void)
{
    wsengine_config_t *config = wsengine_config_new();
    const wsengine_option_info_t *option;
    size_t i;

    for (i = 0; (option = wsengine_option_info(i)) != NULL; i++) {
        CHECK_EQ(wsengine_config_set(config, option->name, option->default_value), WSENGINE_OK);
        CHECK(strlen(option->doc) > 10 && strlen(option->allowed) > 5);
        CHECK(option->type >= WSENGINE_OPTION_NUMBER && option->type <= WSENGINE_OPTION_SECRET);
    }
    CHECK(i > 30);
    CHECK(wsengine_option_info(i + 1) == NULL && wsengine_option_info((size_t)-1) == NULL);
    wsengine_config_free(config);
}

static void an_option_says_what_it_is(void)
{
    const wsengine_option_info_t *option = find("max_message_bytes");

    CHECK(option != NULL);
    CHECK_EQ(option->type, WSENGINE_OPTION_NUMBER);
    CHECK_TEXT(option->default_value, "1048576");
    CHECK_HAS(option->allowed, "bytes from 1 to");
    CHECK_HAS(option->doc, "1009");
    CHECK_EQ(find("handshake_events")->type, WSENGINE_OPTION_SWITCH);
    CHECK_EQ(find("slow_consumer")->type, WSENGINE_OPTION_WORD);
    CHECK_EQ(find("static_root")->type, WSENGINE_OPTION_PATH);
    CHECK_EQ(find("listen")->type, WSENGINE_OPTION_LIST);
    CHECK_EQ(find("app")->type, WSENGINE_OPTION_TEXT);
    CHECK_EQ(find("push_password")->type, WSENGINE_OPTION_SECRET);
}

/* What a type promises is what wsengine_config_set() takes. */
static void a_type_is_kept(void)
{
    wsengine_config_t *config = wsengine_config_new();
    const wsengine_option_info_t *option;
    size_t i;

    for (i = 0; (option = wsengine_option_info(i)) != NULL; i++) {
        int is_switch = wsengine_config_set(config, option->name, "on") == WSENGINE_OK &&
                        wsengine_config_set(config, option->name, "off") == WSENGINE_OK;
        int is_number = strspn(option->default_value, "0123456789") == strlen(option->default_value);
        if (option->type == WSENGINE_OPTION_SWITCH)
            CHECK(is_switch);
        CHECK_EQ(is_number, option->type == WSENGINE_OPTION_NUMBER);
        if (option->type == WSENGINE_OPTION_PATH)
            CHECK_TEXT(option->default_value, "none");
        if (option->type == WSENGINE_OPTION_WORD)
            CHECK_EQ(wsengine_config_set(config, option->name, "no such word"), WSENGINE_ERR_INVALID);
    }
    wsengine_config_free(config);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(each_option_takes_its_default),
        TEST(an_option_says_what_it_is),
        TEST(a_type_is_kept),
    };
    return RUN_TESTS(tests);
}
