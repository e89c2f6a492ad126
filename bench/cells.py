"""What is measured: each cell is one run of the load client against one server, some of its numbers, and
the bars that the project has set itself."""

from dataclasses import dataclass


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
    """`program` is the server program of the same name; `load` are the load client's arguments."""

    title: str
    program: str
    load: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Bar:
    """A promise: this figure of this server is at least or at most so much."""

    text: str
    server: str
    cell: Cell
    field: str
    at_least: float | None = None
    at_most: float | None = None

    def met(self, value):
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)


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

ECHO_50X16 = Cell("echo 50 x 16", "echo", "echo --connections 50 --depth 16", throughput("message", "messages"))
ECHO_500X1 = Cell("echo 500 x 1", "echo", "echo --connections 500", throughput("message", "messages"))
ECHO_1X1 = Cell("echo 1 x 1", "echo", "echo --connections 1", LATENCY[:1])
BROADCAST = Cell(
    "broadcast 100 B to 1,000, window 8",
    "broadcast",
    "broadcast --receivers 1000 --window 8 --size 100",
    throughput("delivery", "deliveries"),
)
RATE = Cell("10,000 messages/s over 50", "echo", "rate --connections 50 --rate 10000", LATENCY)
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

CELLS = [ECHO_50X16, ECHO_500X1, ECHO_1X1, BROADCAST, RATE, IDLE, BURST]

BARS = [
    Bar("PHP echoes 50 x 16 messages of 64 B at 1,000,000/s or more", "php", ECHO_50X16, "per_second", at_least=1e6),
    Bar("an idle connection costs 2 KiB or less", "php", IDLE, "bytes_each", at_most=2048),
    Bar("an idle connection costs 2 KiB or less after a burst", "php", BURST, "bytes_each", at_most=2048),
]
