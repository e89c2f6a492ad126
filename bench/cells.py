"""What is measured: each cell is one run of the load client against one server, some of its numbers, and
the bars that the project has set itself."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Figure:
    """One number of the load client's report, and how it is shown."""

    field: str
    label: str
    unit: float = 1
    decimals: int = 0
    ratio: bool = True

    def show(self, value):
        return f"{value / self.unit:,.{self.decimals}f}"


@dataclass(frozen=True)
class Cell:
    """`program` is the server program of the same name; `load` are the load client's arguments, to which `tls` adds the
    certificate. With `spread` the server may use all CPUs, as the load client does."""

    title: str
    program: str
    load: str
    figures: tuple[Figure, ...]
    spread: bool = False
    tls: bool = False

    def connections(self):
        """How many the load client opens at once."""
        words = self.load.split()
        options = dict(zip(words, words[1:]))
        return int(options.get("--connections") or options.get("--receivers") or options["--concurrency"])


@dataclass(frozen=True)
class Bar:
    """A promise: this figure of this server is at least or at most so much, or so many times that of another."""

    text: str
    server: str
    cell: Cell
    field: str
    at_least: float | None = None
    at_most: float | None = None
    versus: str | None = None

    def met(self, value):
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)

    def show(self, value):
        return f"{value:.2f} x {self.versus}" if self.versus else f"{value:,.0f}"


def throughput(one, many):
    return (
        Figure("per_second", f"thousand {many}/s", unit=1e3),
        Figure("server_cpu_us_each", f"CPU µs/{one}", decimals=2),
    )


LATENCY = (
    Figure("p50_us", "p50 µs", decimals=1),
    Figure("p99_us", "p99 µs", decimals=1),
)
# A floor that keeps nothing for a connection is nothing to divide by.
MEMORY = (Figure("bytes_each", "bytes/connection", ratio=False),)

IDLE_CONNECTIONS = 5_000
MOST_CONNECTIONS = 10_000
# Of each connection, in the program "timed publish among others".
OTHER_TOPICS = 10

ECHO_50X16 = Cell("echo 50 x 16", "echo", "echo --connections 50 --depth 16", throughput("message", "messages"))
ECHO_500X1 = Cell("echo 500 x 1", "echo", "echo --connections 500", throughput("message", "messages"))
ECHO_1X1 = Cell("echo 1 x 1", "echo", "echo --connections 1", LATENCY[:1])
ECHO_64K = Cell(
    "echo 50 x 1, 64 KiB", "echo", "echo --connections 50 --size 65536", throughput("message", "messages")
)
RATE = Cell("10,000 messages/s over 50", "echo", "rate --connections 50 --rate 10000", LATENCY)
BROADCAST = Cell(
    "broadcast 100 B to 1,000, window 8",
    "broadcast",
    "broadcast --receivers 1000 --window 8 --size 100",
    throughput("delivery", "deliveries"),
)
BROADCAST_LAST = Cell(
    "broadcast 100 B to 1,000, window 1",
    "broadcast",
    "broadcast --receivers 1000 --window 1 --size 100",
    (Figure("p50_us", "µs until the last has it"),),
)
CALL = (Figure("call_ns", "host ns/call"),)
CALLS = [
    Cell(f"{call} to {receivers:,}", f"timed {call}", f"broadcast --receivers {receivers} --window 1 --size 100", CALL)
    for call in ("broadcast", "publish")
    for receivers in (10, MOST_CONNECTIONS)
]
PUBLISH_AMONG_OTHERS = Cell(
    f"publish to {MOST_CONNECTIONS:,} members among {MOST_CONNECTIONS * OTHER_TOPICS:,} topics",
    "timed publish among others",
    f"broadcast --receivers {MOST_CONNECTIONS} --window 1 --size 100",
    CALL,
)
HANDSHAKES = Cell("handshakes, 50 under way", "echo", "handshakes --concurrency 50", throughput("handshake", "handshakes"))
IDLE = Cell(
    f"idle {IDLE_CONNECTIONS:,}, opened one by one",
    "echo",
    f"idle --connections {IDLE_CONNECTIONS}",
    MEMORY,
)
BURST = Cell(
    f"idle {IDLE_CONNECTIONS:,}, opened at once",
    "echo",
    f"idle --burst --connections {IDLE_CONNECTIONS}",
    (*MEMORY, Figure("handshakes_lost", "handshakes lost", ratio=False)),
)


def with_tls(cell):
    return replace(cell, title=f"{cell.title}, TLS", program=f"{cell.program} tls", tls=True)


ECHO_TLS, IDLE_TLS = with_tls(ECHO_50X16), with_tls(IDLE)
# The client verifies for longer than the server signs: the rate would be the client's.
HANDSHAKES_TLS = with_tls(replace(HANDSHAKES, figures=HANDSHAKES.figures[1:]))
ECHO_DEFLATE = Cell(
    "echo 50 x 1, 1 KiB, deflate",
    "echo deflate",
    "echo --connections 50 --size 1024 --deflate",
    throughput("message", "messages"),
)

CELLS = [
    *(ECHO_50X16, ECHO_500X1, ECHO_1X1, ECHO_64K, RATE),
    *(BROADCAST, BROADCAST_LAST, *CALLS, PUBLISH_AMONG_OTHERS),
    *(HANDSHAKES, IDLE, BURST),
    *(ECHO_TLS, HANDSHAKES_TLS, IDLE_TLS, ECHO_DEFLATE),
]

# As many as a limit of 20,000 open files leaves for connections (docs/scale.md).
SIZES = (10, 100, 1_000, MOST_CONNECTIONS, 18_900)
SCALE = [
    *(
        Cell(
            f"10,000 messages/s over {size:,}",
            "echo",
            f"rate --connections {size} --rate 10000",
            (Figure("server_cpu_us_each", "CPU µs/message", decimals=2), *LATENCY),
        )
        for size in SIZES
    ),
    *(Cell(f"idle {size:,}", "echo", f"idle --connections {size}", MEMORY) for size in SIZES[2:]),
    *(
        Cell(
            f"echo 50 x 16, {threads} I/O threads, all CPUs",
            f"echo {threads}",
            "echo --connections 50 --depth 16",
            throughput("message", "messages"),
            spread=True,
        )
        for threads in (1, 2, 4)
    ),
]

RATE_OF, CPU_OF = "per_second", "server_cpu_us_each"
BARS = [
    Bar("C echo 50 x 16, CPU", "c", ECHO_50X16, CPU_OF, at_most=1.2, versus="uwebsockets"),
    Bar("C echo 50 x 16, CPU", "c", ECHO_50X16, CPU_OF, at_most=0.15, versus="libwebsockets"),
    Bar("C echo 500 x 1, CPU", "c", ECHO_500X1, CPU_OF, at_most=1.15, versus="uwebsockets"),
    Bar("C echo 1 x 1, p50", "c", ECHO_1X1, "p50_us", at_most=1.2, versus="hop"),
    Bar("PHP echo 50 x 16, rate", "php", ECHO_50X16, RATE_OF, at_least=0.85, versus="c"),
    Bar("PHP echo 50 x 16, messages/s", "php", ECHO_50X16, RATE_OF, at_least=1.5e6),
    Bar("PHP echo 500 x 1, rate", "php", ECHO_500X1, RATE_OF, at_least=0.95, versus="c"),
    Bar("10,000 messages/s over 50, p50", "c", RATE, "p50_us", at_most=1.3, versus="hop"),
    Bar("10,000 messages/s over 50, p99", "c", RATE, "p99_us", at_most=2, versus="hop"),
    Bar("broadcast, window 8, CPU", "c", BROADCAST, CPU_OF, at_most=0.9, versus="uwebsockets"),
    Bar("broadcast, window 1, until the last has it", "c", BROADCAST_LAST, "p50_us", at_most=1.05, versus="uwebsockets"),
    *(Bar(f"{cell.title}, host time of the call, ns", "c", cell, "call_ns", at_most=3000) for cell in CALLS),
    Bar(f"{PUBLISH_AMONG_OTHERS.title}, host time of the call, ns", "c", PUBLISH_AMONG_OTHERS, "call_ns", at_most=5000),
    Bar("C echo of 64 KiB, rate", "c", ECHO_64K, RATE_OF, at_least=1, versus="uwebsockets"),
    Bar("PHP echo of 64 KiB, rate", "php", ECHO_64K, RATE_OF, at_least=1, versus="uwebsockets"),
    Bar("idle connection, bytes", "c", IDLE, "bytes_each", at_most=1024),
    Bar("idle connection after a burst, bytes", "c", BURST, "bytes_each", at_most=2048),
    Bar("idle connection with TLS, bytes", "c", IDLE_TLS, "bytes_each", at_most=24_576),
    Bar("handshake, CPU", "c", HANDSHAKES, CPU_OF, at_most=1.2, versus="tokio_websockets"),
]
