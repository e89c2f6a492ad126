/* ws_client.h - a WebSocket client in plain blocking sockets, small enough to be trusted by reading it (RFC 6455).
 * Failures are answers, not exits; nothing waits longer than WS_SECONDS. */
#ifndef WS_CLIENT_H
#define WS_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define WS_SECONDS 20
#define WS_END (-1) /* the connection has ended or nothing came in time */
enum { WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

static inline int ws_connect(int port)
{
    struct timeval limit = { WS_SECONDS, 0 };
    struct sockaddr_in address;
    int at_once = 1; /* or what follows unanswered words waits 40 ms for them to be acknowledged */
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static inline int ws_write(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) /* a socket with a time limit is never restarted */
            continue;
        if (n <= 0)
            return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static inline int ws_read(int fd, void *data, size_t len)
{
    char *at = data;

    while (len > 0) {
        ssize_t n = recv(fd, at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Asks for a connection, with the key of RFC 6455, section 1.3, and further header lines. Returns the socket or -1. */
static inline int ws_ask(int port, const char *target, const char *headers)
{
    char head[2048];
    int fd = ws_connect(port);

    snprintf(head, sizeof head,
             "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
             target, port, headers);
    if (fd < 0 || ws_write(fd, head, strlen(head)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Reads the head of the answer. Returns its status or -1. */
static inline int ws_answer(int fd, char *head, size_t size)
{
    size_t len = 0;
    int status;

    memset(head, 0, size);
    while (strstr(head, "\r\n\r\n") == NULL) { /* one byte at a time: frames may follow at once */
        if (len == size - 1 || ws_read(fd, head + len, 1) < 0)
            return -1;
        len++;
    }
    return sscanf(head, "HTTP/1.1 %d ", &status) == 1 ? status : -1;
}

/* The whole opening handshake. Returns the socket or -1. */
static inline int ws_open(int port, const char *target)
{
    char head[1024];
    int fd = ws_ask(port, target, "");

    if (fd < 0 || (ws_answer(fd, head, sizeof head) == 101 && strstr(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") != NULL))
        return fd;
    close(fd);
    return -1;
}

/* Sends one masked frame that is a whole message. */
static inline int ws_send(int fd, int opcode, const void *data, size_t len)
{
    static const uint8_t mask[4] = { 0x5a, 0x00, 0xff, 0x31 };
    const uint8_t *payload = data;
    uint8_t block[16 * 1024];
    uint8_t head[14];
    size_t at, n, head_len = 2;
    int shift;

    head[0] = (uint8_t)(0x80 | opcode);
    if (len < 126) {
        head[1] = (uint8_t)(0x80 | len);
    } else {
        int large = len > 0xffff;
        head[1] = (uint8_t)(0x80 | (large ? 127 : 126));
        for (shift = large ? 56 : 8; shift >= 0; shift -= 8)
            head[head_len++] = (uint8_t)((uint64_t)len >> shift);
    }
    memcpy(head + head_len, mask, 4);
    if (ws_write(fd, head, head_len + 4) < 0)
        return -1;
    for (at = 0; at < len; at += n) {
        size_t i;
        n = len - at < sizeof block ? len - at : sizeof block;
        for (i = 0; i < n; i++)
            block[i] = (uint8_t)(payload[at + i] ^ mask[(at + i) % 4]);
        if (ws_write(fd, block, n) < 0)
            return -1;
    }
    return 0;
}

static inline int ws_send_text(int fd, const char *text)
{
    return ws_send(fd, WS_TEXT, text, strlen(text));
}

/* Receives one frame into buffer, which gets a NUL behind it; answers pings itself. Returns its opcode or WS_END. */
static inline int ws_receive(int fd, void *buffer, size_t size, size_t *len)
{
    for (;;) {
        uint8_t head[8];
        uint64_t length;
        size_t i, more;
        int opcode;

        if (ws_read(fd, head, 2) < 0 || (head[1] & 0x80) != 0) /* a server does not mask */
            return WS_END;
        opcode = head[0] & 0x0f;
        length = head[1] & 0x7f;
        more = length == 127 ? 8 : length == 126 ? 2 : 0;
        if (more > 0) {
            if (ws_read(fd, head, more) < 0)
                return WS_END;
            for (length = 0, i = 0; i < more; i++)
                length = length << 8 | head[i];
        }
        if (length >= size || ws_read(fd, buffer, (size_t)length) < 0)
            return WS_END;
        ((char *)buffer)[length] = '\0';
        *len = (size_t)length;
        if (opcode != WS_PING)
            return opcode;
        if (ws_send(fd, WS_PONG, buffer, (size_t)length) < 0)
            return WS_END;
    }
}

/* Does the next frame say exactly this? */
static inline int ws_receives(int fd, int opcode, const char *text)
{
    char buffer[4096];
    size_t len = 0;

    return ws_receive(fd, buffer, sizeof buffer, &len) == opcode && len == strlen(text) &&
           memcmp(buffer, text, len) == 0;
}

static inline int ws_send_close(int fd, int code, const char *reason)
{
    char payload[125];
    size_t len = strlen(reason);

    payload[0] = (char)(code >> 8);
    payload[1] = (char)(code & 0xff);
    memcpy(payload + 2, reason, len);
    return ws_send(fd, WS_CLOSE, payload, len + 2);
}

/* Is the next frame a close frame with this code and reason? */
static inline int ws_receives_close(int fd, int code, const char *reason)
{
    uint8_t payload[126];
    size_t len = 0;

    return ws_receive(fd, payload, sizeof payload, &len) == WS_CLOSE && len == strlen(reason) + 2 &&
           (payload[0] << 8 | payload[1]) == code && memcmp(payload + 2, reason, len - 2) == 0;
}

/* Does the connection end, whatever still comes before? */
static inline int ws_ends(int fd)
{
    char bytes[4096];
    ssize_t n;

    do
        n = recv(fd, bytes, sizeof bytes, 0);
    while (n > 0 || (n < 0 && errno == EINTR));
    return n == 0 || errno == ECONNRESET;
}

/* Has the connection ended with nothing more to read? */
static inline int ws_ended(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* Ends a connection by RST, as a peer does whose machine goes away. */
static inline void ws_reset(int fd)
{
    struct linger now = { 1, 0 };

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

#endif
