/* tls.c - certificates: at the start and read again. What travels by TLS is tested where there are clients for it. */
#include "test.h"

/* Makes a certificate for localhost and its key. */
static void make_certificate(const char *directory)
{
    char command[500];

    snprintf(command, sizeof command,
             "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 "
             "-subj /CN=localhost -keyout key.pem -out cert.pem 2>/dev/null", directory);
    CHECK_EQ(system(command), 0);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    CHECK(file != NULL);
    CHECK(fputs(text, file) >= 0);
    CHECK_EQ(fclose(file), 0);
}

static void a_certificate_is_read_at_the_start_and_again(void)
{
    char directory[] = "/tmp/wsengine-tls-XXXXXX", cert[64], key[64], expected[200];
    wsengine_t *server;

    CHECK(mkdtemp(directory) != NULL);
    snprintf(cert, sizeof cert, "%s/cert.pem", directory);
    snprintf(key, sizeof key, "%s/key.pem", directory);
    make_certificate(directory);
    server = start("listen", "tls://127.0.0.1:0", "tls_cert", cert, "tls_key", key, NULL);
    snprintf(expected, sizeof expected, "tls://127.0.0.1:%d", wsengine_port(server));
    CHECK_TEXT(wsengine_address(server, 0), expected);
    make_certificate(directory);
    CHECK_EQ(wsengine_tls_reload(server), WSENGINE_OK);

    write_file(cert, "soon");
    CHECK_EQ(wsengine_tls_reload(server), WSENGINE_ERR_INVALID);
    snprintf(expected, sizeof expected, "option \"tls_cert\": \"%s\" holds no certificate in PEM form", cert);
    CHECK_TEXT(wsengine_last_error(), expected);
    CHECK_EQ(unlink(key), 0);
    make_certificate(directory);
    CHECK_EQ(wsengine_tls_reload(server), WSENGINE_OK);
    wsengine_free(server);
    unlink(cert);
    unlink(key);
    CHECK_EQ(rmdir(directory), 0);
}

static void without_tls_there_is_nothing_to_reload(void)
{
    wsengine_t *server = start(NULL);

    CHECK_EQ(wsengine_tls_reload(server), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(), "there is no TLS to reload: \"tls_cert\" and \"tls_key\" are not set");
    wsengine_free(server);
}

static void what_tls_needs_is_said(void)
{
    wsengine_config_t *config = wsengine_config_new();
    wsengine_t *server;

    CHECK_EQ(wsengine_config_set(config, "listen", "tls://127.0.0.1:0"), WSENGINE_OK);
    CHECK_EQ(wsengine_start(config, &server), WSENGINE_ERR_INVALID);
    CHECK_TEXT(wsengine_last_error(),
               "option \"listen\": tls://127.0.0.1:0 needs the options \"tls_cert\" and \"tls_key\"");
    wsengine_config_free(config);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(a_certificate_is_read_at_the_start_and_again),
        TEST(without_tls_there_is_nothing_to_reload),
        TEST(what_tls_needs_is_said),
    };
    return RUN_TESTS(tests);
}
