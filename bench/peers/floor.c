/* The floor: what an echo costs when nothing is done but epoll, recv, unmask and send on one thread; and the same
 * where a second thread decides what is sent, as a host does.
 *
 *   floor echo|broadcast|hop          prints "listening on 127.0.0.1:PORT"
 *
 * cc: -pthread
 *
 * Not a server: no limits, no UTF-8 check, no control frame but close, and a client that does not read
 * stops everybody. The handshake answers the one key that the load client sends, RFC 6455's example.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FDS = 65536, BUFFER_BYTES = 256 * 1024, BATCH = 512 };

static const char RESPONSE[] = "HTTP/1.1 101 Switching Protocols\r\n"
                               "Upgrade: websocket\r\n"
                               "Connection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/* A connection is its descriptor; bytes are kept only for a frame that has not wholly arrived. */
struct connection {
    int open;
    uint8_t *partial;
    size_t partial_len;
};

static struct connection connections[MAX_FDS];
static int highest_fd;
static enum { ECHO, BROADCAST, HOP } mode;
static uint8_t buffer[BUFFER_BYTES];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void drop(int fd)
{
    free(connections[fd].partial);
    connections[fd] = (struct connection){0};
    close(fd);
}

static void send_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes += sent;
            len -= (size_t)sent;
        } else if (errno == EAGAIN) {
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        } else {
            return; /* gone: the next recv says so */
        }
    }
}

/* The lengths of a client frame's header and payload; 0 while the header is not complete. */
static size_t parse_header(const uint8_t *frame, size_t len, uint64_t *payload_len)
{
    if (len < 2)
        return 0;
    size_t header_len = 6;
    *payload_len = frame[1] & 0x7f;
    if (*payload_len == 126)
        header_len = 8;
    else if (*payload_len == 127)
        header_len = 14;
    if (len < header_len)
        return 0;
    if (header_len > 6) {
        *payload_len = 0;
        for (size_t i = 2; i < header_len - 4; i++)
            *payload_len = *payload_len << 8 | frame[i];
    }
    return header_len;
}

/* Turns a client's frame into the server's at `to`, which is not behind `from`: the key is left out. */
static size_t unmask(uint8_t *to, const uint8_t *from, size_t header_len, size_t payload_len)
{
    uint32_t key;
    memcpy(&key, from + header_len - 4, 4);
    uint64_t wide_key = (uint64_t)key << 32 | key;
    memmove(to, from, header_len - 4);
    to[1] &= 0x7f;
    to += header_len - 4;
    from += header_len;
    size_t i = 0;
    for (; i + 8 <= payload_len; i += 8) {
        uint64_t word;
        memcpy(&word, from + i, 8);
        word ^= wide_key;
        memcpy(to + i, &word, 8);
    }
    for (; i < payload_len; i++)
        to[i] = from[i] ^ (uint8_t)(key >> 8 * (i & 3));
    return header_len - 4 + payload_len;
}

/* What one thread has for the other: pieces of bytes, each for a connection. The other takes all by a swap, and is
 * woken only if it sleeps. */
struct queue {
    pthread_mutex_t mutex;
    struct batch {
        struct piece {
            int fd;
            size_t len;
        } *pieces;
        uint8_t *bytes;
        size_t count, len, pieces_room, bytes_room;
    } batch;
    atomic_int asleep;
    int wake;
};

static struct queue to_host = {.mutex = PTHREAD_MUTEX_INITIALIZER}, from_host = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void *grow(void *memory, size_t *room, size_t needed, size_t size)
{
    if (needed <= *room)
        return memory;
    *room = needed * 2;
    if (!(memory = realloc(memory, *room * size)))
        fail("realloc");
    return memory;
}

static void append(struct batch *batch, int fd, const uint8_t *bytes, size_t len)
{
    batch->pieces = grow(batch->pieces, &batch->pieces_room, batch->count + 1, sizeof *batch->pieces);
    batch->bytes = grow(batch->bytes, &batch->bytes_room, batch->len + len, 1);
    memcpy(batch->bytes + batch->len, bytes, len);
    batch->pieces[batch->count++] = (struct piece){fd, len};
    batch->len += len;
}

/* Who says that it sleeps looks once more afterwards: either it sees the news or the other sees that it sleeps. */
static void wake(struct queue *queue)
{
    if (atomic_load(&queue->asleep) && atomic_exchange(&queue->asleep, 0))
        eventfd_write(queue->wake, 1);
}

static int take(struct queue *queue, struct batch *into)
{
    into->count = into->len = 0;
    pthread_mutex_lock(&queue->mutex);
    struct batch empty = *into;
    *into = queue->batch;
    queue->batch = empty;
    pthread_mutex_unlock(&queue->mutex);
    return into->count > 0;
}

static int take_or_sleep(struct queue *queue, struct batch *into)
{
    atomic_store(&queue->asleep, 0);
    if (take(queue, into))
        return 1;
    atomic_store(&queue->asleep, 1);
    if (!take(queue, into))
        return 0;
    atomic_store(&queue->asleep, 0);
    return 1;
}

/* The host: sends back what it gets, a batch at a time. */
static void *host(void *unused)
{
    static struct batch batch;
    for (;;) {
        while (!take_or_sleep(&to_host, &batch)) {
            eventfd_t count;
            poll(&(struct pollfd){.fd = to_host.wake, .events = POLLIN}, 1, -1);
            eventfd_read(to_host.wake, &count);
        }
        pthread_mutex_lock(&from_host.mutex);
        const uint8_t *bytes = batch.bytes;
        for (size_t i = 0; i < batch.count; bytes += batch.pieces[i++].len)
            append(&from_host.batch, batch.pieces[i].fd, bytes, batch.pieces[i].len);
        pthread_mutex_unlock(&from_host.mutex);
        wake(&from_host);
    }
    return unused;
}

/* Sends what the host has said until it has nothing more to say. */
static void send_for_host(void)
{
    static struct batch batch;
    wake(&to_host);
    while (take_or_sleep(&from_host, &batch)) {
        const uint8_t *bytes = batch.bytes;
        for (size_t i = 0; i < batch.count; bytes += batch.pieces[i++].len)
            if (connections[batch.pieces[i].fd].open)
                send_all(batch.pieces[i].fd, bytes, batch.pieces[i].len);
    }
}

/* Answers all whole frames in the buffer with one send and keeps the rest. */
static void answer(int fd, size_t len)
{
    size_t taken = 0, written = 0, header_len;
    uint64_t payload_len;
    while ((header_len = parse_header(buffer + taken, len - taken, &payload_len)) > 0) {
        if (payload_len > BUFFER_BYTES - 14 || (buffer[taken] & 0x0f) == 8) {
            drop(fd);
            return;
        }
        if (len - taken < header_len + payload_len)
            break;
        written += unmask(buffer + written, buffer + taken, header_len, payload_len);
        taken += header_len + payload_len;
    }
    if (mode == ECHO) {
        send_all(fd, buffer, written);
    } else if (written > 0 && mode == HOP) {
        pthread_mutex_lock(&to_host.mutex);
        append(&to_host.batch, fd, buffer, written);
        pthread_mutex_unlock(&to_host.mutex);
    } else if (written > 0) {
        for (int to = 0; to <= highest_fd; to++)
            if (connections[to].open)
                send_all(to, buffer, written);
    }
    struct connection *conn = &connections[fd];
    conn->partial_len = len - taken;
    if (conn->partial_len > 0) {
        if (!conn->partial && !(conn->partial = malloc(BUFFER_BYTES)))
            fail("malloc");
        memcpy(conn->partial, buffer + taken, conn->partial_len);
    }
}

static void readable(int fd)
{
    struct connection *conn = &connections[fd];
    if (conn->partial_len > 0)
        memcpy(buffer, conn->partial, conn->partial_len);
    ssize_t received = recv(fd, buffer + conn->partial_len, BUFFER_BYTES - conn->partial_len, 0);
    if (received < 0 && errno == EAGAIN)
        return;
    if (received <= 0) {
        drop(fd);
    } else if (conn->open) {
        answer(fd, conn->partial_len + (size_t)received);
    } else if (received >= 4 && memcmp(buffer + received - 4, "\r\n\r\n", 4) == 0) {
        conn->open = 1; /* the load client's request is small: it comes in one piece */
        send_all(fd, (const uint8_t *)RESPONSE, sizeof RESPONSE - 1);
    }
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
}

static void accept_all(int listener, int epoll)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        if (fd >= MAX_FDS)
            fail("too many connections");
        if (fd > highest_fd)
            highest_fd = fd;
        watch(epoll, fd);
    }
}

int main(int argc, char **argv)
{
    static const char *const MODES[] = {[ECHO] = "echo", [BROADCAST] = "broadcast", [HOP] = "hop"};
    while (argc == 2 && mode <= HOP && strcmp(argv[1], MODES[mode]) != 0)
        mode++;
    if (argc != 2 || mode > HOP) {
        fprintf(stderr, "usage: floor echo|broadcast|hop\n");
        return 2;
    }

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&address, address_len) < 0 || listen(listener, SOMAXCONN) < 0
        || getsockname(listener, (struct sockaddr *)&address, &address_len) < 0)
        fail("listen");
    int epoll = epoll_create1(0);
    watch(epoll, listener);
    if (mode == HOP) {
        pthread_t thread;
        if ((to_host.wake = eventfd(0, EFD_NONBLOCK)) < 0 || (from_host.wake = eventfd(0, EFD_NONBLOCK)) < 0
            || pthread_create(&thread, NULL, host, NULL) != 0)
            fail("host");
        watch(epoll, from_host.wake);
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);

    struct epoll_event events[BATCH];
    for (;;) {
        int count = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < count; i++) {
            eventfd_t count;
            if (events[i].data.fd == listener)
                accept_all(listener, epoll);
            else if (mode == HOP && events[i].data.fd == from_host.wake)
                eventfd_read(from_host.wake, &count);
            else
                readable(events[i].data.fd);
        }
        if (mode == HOP)
            send_for_host();
    }
}
