/* churn.c - 8 threads send while one polls and 1,000 clients come and go: who stays gets each message that was accepted
 * for it, once and in order. CHURN_SECONDS says for how long (default 3). */
#include "test.h"

#include <poll.h>

enum {
    SENDERS = 8,
    STAYERS = 40,
    READERS = 4,
    GUESTS = 1000,
    GUEST_THREADS = 4,
    MANY_BYTES = 64 * 1024, /* more than this waits: the sender lets the reader catch up */
    KNOWN = 4096,           /* ids of guests, most of them of the past */
};

/* What is sent to those who stay: numbered for each way and sender. */
enum { BY_SEND, BY_BROADCAST, BY_PUBLISH, WAYS, LAST };
typedef struct {
    uint32_t way, sender, number;
} note_t;

/* Of each connection; made with its OPEN, freed with its CLOSE. */
typedef struct {
    uint64_t conn;
    int stayer;
} user_t;

static wsengine_t *server;
static uint64_t stayers[STAYERS], guests[KNOWN];
static int stop_senders, stop_guests, guests_left;
/* Written by its sender only, read when that has ended. */
static uint32_t accepted[WAYS][SENDERS][STAYERS];
static char trouble[200];

static void complain(const char *what, long long number)
{
    static int first;

    if (__atomic_exchange_n(&first, 1, __ATOMIC_RELAXED) == 0)
        snprintf(trouble, sizeof trouble, "%s (%lld)", what, number);
}

static int is_set(int *flag)
{
    return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

/* ---- senders ---- */

/* To a guest, who may be gone at any moment. */
static void bother_a_guest(unsigned *seed)
{
    uint64_t guest = __atomic_load_n(&guests[(unsigned)rand_r(seed) % KNOWN], __ATOMIC_RELAXED);
    int result = 0;

    switch (rand_r(seed) % 16) {
    case 0:
        result = wsengine_close(server, guest, 1000, "enough");
        break;
    case 1:
        result = wsengine_abort(server, guest);
        break;
    case 2:
        result = wsengine_subscribe(server, guest, "guests");
        break;
    case 3:
        result = wsengine_publish(server, "guests", WSENGINE_TEXT, "hello", 5);
        break;
    default:
        result = send_text(server, guest, "hello");
        break;
    }
    if (result < 0 && result != WSENGINE_ERR_NOT_CONNECTED && result != WSENGINE_ERR_WOULD_BLOCK)
        complain(wsengine_last_error(), result);
}

static void send_to_one_who_stays(uint32_t sender, uint32_t stayer)
{
    note_t note = { BY_SEND, 0, 0 };
    uint64_t conn = __atomic_load_n(&stayers[stayer], __ATOMIC_RELAXED);
    int result;

    note.sender = sender;
    note.number = accepted[BY_SEND][sender][stayer];
    if (wsengine_buffered(server, conn) > MANY_BYTES)
        return;
    result = wsengine_send(server, conn, WSENGINE_BINARY, &note, sizeof note);
    if (result == WSENGINE_OK)
        accepted[BY_SEND][sender][stayer]++;
    else
        complain("a message to one who stays", result);
}

static void send_to_all_who_stay(uint32_t way, uint32_t sender)
{
    note_t note = { 0, 0, 0 };
    wsengine_stats_t stats;
    int i, reached;

    note.way = way;
    note.sender = sender;
    note.number = accepted[way][sender][0];
    stats.struct_size = sizeof stats;
    if (wsengine_stats(server, &stats) < 0 || stats.queued_bytes > STAYERS * MANY_BYTES)
        return;
    if (way == BY_PUBLISH)
        reached = wsengine_publish(server, "stayers", WSENGINE_BINARY, &note, sizeof note);
    else
        reached = wsengine_broadcast(server, WSENGINE_BINARY, &note, sizeof note);
    if (reached < STAYERS)
        complain("a message to all who stay", reached);
    for (i = 0; i < STAYERS; i++)
        accepted[way][sender][i]++;
}

static void *send_all_the_time(void *number)
{
    uint32_t sender = *(uint32_t *)number;
    unsigned seed = sender + 1;
    long turn;

    for (turn = 0; !is_set(&stop_senders); turn++) {
        send_to_one_who_stays(sender, (uint32_t)rand_r(&seed) % STAYERS);
        bother_a_guest(&seed);
        if (turn % 100 == 0)
            send_to_all_who_stay(turn % 200 == 0 ? BY_BROADCAST : BY_PUBLISH, sender);
        if (turn % 20 == 0)
            sleep_ms(1); /* the others want a processor too */
    }
    return NULL;
}

/* ---- those who stay ---- */

typedef struct {
    int fds[STAYERS / READERS];
    uint32_t next[STAYERS / READERS][WAYS][SENDERS];
    int left; /* that have not got their last message */
    uint64_t received;
} reader_t;

static void read_one(reader_t *reader, int i)
{
    note_t note;
    char buffer[sizeof note + 1];
    size_t len;
    uint32_t *next;

    if (ws_receive(reader->fds[i], buffer, sizeof buffer, &len) != WS_BINARY || len != sizeof note) {
        complain("what one who stays got is no note", i);
        reader->left = 0;
        return;
    }
    memcpy(&note, buffer, sizeof note);
    reader->received++;
    if (note.way == LAST) {
        reader->left--;
        return;
    }
    next = &reader->next[i][note.way][note.sender];
    if (note.number != *next)
        complain("a message is lost, came twice or in another order", (long long)note.number - *next);
    *next = note.number + 1;
}

static void *read_all(void *argument)
{
    enum { COUNT = STAYERS / READERS };
    reader_t *reader = argument;
    struct pollfd ready[COUNT];
    int i;

    for (i = 0; i < COUNT; i++) {
        ready[i].fd = reader->fds[i];
        ready[i].events = POLLIN;
    }
    while (reader->left > 0) {
        if (poll(ready, COUNT, WAIT_MS) <= 0) {
            complain("those who stay get nothing any more", 0);
            break;
        }
        for (i = 0; i < COUNT; i++)
            if (ready[i].revents != 0)
                read_one(reader, i);
    }
    return NULL;
}

/* ---- guests ---- */

static void *come_and_go(void *number)
{
    enum { COUNT = GUESTS / GUEST_THREADS };
    static char drop[GUEST_THREADS][64 * 1024];
    unsigned seed = 1000 + *(unsigned *)number;
    char *rest = drop[*(unsigned *)number];
    int fds[COUNT], i, came = 0;

    for (i = 0; i < COUNT; i++)
        fds[i] = -1;
    while (!is_set(&stop_guests)) {
        i = rand_r(&seed) % COUNT;
        if (fds[i] < 0) {
            fds[i] = ws_open(wsengine_port(server), "/guest");
            if (fds[i] < 0)
                complain("a guest does not get in", errno);
            came++;
            continue;
        }
        while (recv(fds[i], rest, 64 * 1024, MSG_DONTWAIT) > 0)
            ; /* guests do not listen */
        switch (rand_r(&seed) % 8) {
        case 0:
            ws_send_close(fds[i], 1000, "");
            close(fds[i]);
            fds[i] = -1;
            break;
        case 1:
            ws_reset(fds[i]);
            fds[i] = -1;
            break;
        default: /* the server may have closed it meanwhile */
            if (ws_send_text(fds[i], "hello") < 0) {
                close(fds[i]);
                fds[i] = -1;
            }
            break;
        }
    }
    for (i = 0; i < COUNT; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    __atomic_add_fetch(&guests_left, came, __ATOMIC_RELAXED);
    return NULL;
}

/* ---- the thread that polls ---- */

typedef struct {
    int opened, closed, stayers;
    uint64_t messages;
} seen_t;

static void handle(const wsengine_event_t *event, seen_t *seen)
{
    user_t *user;
    char target[16];
    int stayer;

    switch (event->type) {
    case WSENGINE_EVENT_OPEN:
        user = malloc(sizeof *user);
        CHECK(user != NULL && *event->user_data == NULL);
        user->conn = event->conn;
        user->stayer = 0;
        snprintf(target, sizeof target, "%.*s", (int)event->len, (const char *)event->data);
        if (sscanf(target, "/stay/%d", &stayer) == 1) {
            user->stayer = 1;
            CHECK_EQ(wsengine_subscribe(server, event->conn, "stayers"), 1);
            __atomic_store_n(&stayers[stayer], event->conn, __ATOMIC_RELAXED);
            seen->stayers++;
        } else {
            __atomic_store_n(&guests[seen->opened % KNOWN], event->conn, __ATOMIC_RELAXED);
        }
        *event->user_data = user;
        seen->opened++;
        break;
    case WSENGINE_EVENT_MESSAGE:
        user = *event->user_data;
        CHECK(user != NULL && user->conn == event->conn);
        CHECK(!user->stayer && event_says(event, "hello"));
        seen->messages++;
        break;
    case WSENGINE_EVENT_CLOSE:
        user = *event->user_data;
        CHECK(user != NULL && user->conn == event->conn);
        CHECK(!user->stayer || is_set(&stop_guests));
        free(user);
        seen->closed++;
        break;
    default:
        break;
    }
}

static int poll_once(seen_t *seen)
{
    wsengine_event_t events[64];
    int i, n = wsengine_poll_events(server, events, 64, 100);

    for (i = 0; i < n; i++)
        handle(&events[i], seen);
    return n;
}

static void who_stays_gets_each_message_once_and_in_order(void)
{
    static reader_t readers[READERS];
    const char *seconds = getenv("CHURN_SECONDS");
    pthread_t senders_threads[SENDERS], reader_threads[READERS], guest_threads[GUEST_THREADS];
    uint32_t numbers[SENDERS];
    note_t last = { LAST, 0, 0 };
    seen_t seen = { 0, 0, 0, 0 };
    uint64_t received = 0;
    int64_t end;
    int i, way, sender;

    server = start("io_threads", "2", "send_queue_bytes", "67108864", "send_queue_messages", "1000000", NULL);
    alarm(0);
    for (i = 0; i < STAYERS; i++) {
        char target[16];
        snprintf(target, sizeof target, "/stay/%d", i);
        readers[i % READERS].fds[i / READERS] = ws_open(wsengine_port(server), target);
        CHECK(readers[i % READERS].fds[i / READERS] >= 0);
    }
    while (seen.stayers < STAYERS)
        CHECK(poll_once(&seen) >= 0);
    for (i = 0; i < SENDERS; i++)
        numbers[i] = (uint32_t)i;
    for (i = 0; i < READERS; i++) {
        readers[i].left = STAYERS / READERS;
        CHECK_EQ(pthread_create(&reader_threads[i], NULL, read_all, &readers[i]), 0);
    }
    for (i = 0; i < GUEST_THREADS; i++)
        CHECK_EQ(pthread_create(&guest_threads[i], NULL, come_and_go, &numbers[i]), 0);
    for (i = 0; i < SENDERS; i++)
        CHECK_EQ(pthread_create(&senders_threads[i], NULL, send_all_the_time, &numbers[i]), 0);

    end = now_ms() + 1000 * (seconds != NULL ? atoi(seconds) : 3);
    /* Longer where the processors have much else to do. */
    while (now_ms() < end || ((seen.opened < STAYERS + 200 || seen.messages == 0) && now_ms() < end + WAIT_MS))
        CHECK(poll_once(&seen) >= 0);

    __atomic_store_n(&stop_senders, 1, __ATOMIC_RELAXED);
    for (i = 0; i < SENDERS; i++)
        pthread_join(senders_threads[i], NULL);
    __atomic_store_n(&stop_guests, 1, __ATOMIC_RELAXED);
    for (i = 0; i < GUEST_THREADS; i++)
        pthread_join(guest_threads[i], NULL);
    for (i = 0; i < STAYERS; i++)
        wsengine_send(server, stayers[i], WSENGINE_BINARY, &last, sizeof last);
    for (i = 0; i < READERS; i++) {
        pthread_join(reader_threads[i], NULL);
        received += readers[i].received;
    }
    for (i = 0; i < STAYERS; i++)
        close(readers[i % READERS].fds[i / READERS]);
    CHECK_EQ(wsengine_stop(server, WAIT_MS), WSENGINE_OK);
    while (poll_once(&seen) >= 0)
        ;
    wsengine_free(server);

    if (trouble[0] != '\0')
        fail(__FILE__, __LINE__, trouble);
    CHECK_EQ(seen.opened, seen.closed);
    for (i = 0; i < STAYERS; i++)
        for (way = 0; way < WAYS; way++)
            for (sender = 0; sender < SENDERS; sender++)
                CHECK_EQ(readers[i % READERS].next[i / READERS][way][sender], accepted[way][sender][i]);
    printf("%llu messages to %d who stayed, %d guests came and went, who said %llu\n", (unsigned long long)received,
           STAYERS, guests_left, (unsigned long long)seen.messages);
    CHECK(received > 1000 && guests_left > 100 && seen.messages > 0);
}

int main(void)
{
    static const test_t tests[] = {
        TEST(who_stays_gets_each_message_once_and_in_order),
    };
    return RUN_TESTS(tests);
}
