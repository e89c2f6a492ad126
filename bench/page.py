"""Writes docs/benchmarks.md and its pictures."""

import platform
import subprocess
from datetime import date
from pathlib import Path

from cells import BROADCAST, BURST, ECHO_1X1, ECHO_50X16, ECHO_500X1, ECHO_64K, HANDSHAKES, IDLE, RATE
from results import table, verdicts

DOCS = Path(__file__).resolve().parent.parent / "docs"
OURS = ("c", "php", "codec")
BARS_HIGH, BAR_WIDTH, NAMES_WIDTH = 18, 520, 140

# A picture: its file, its title, and the cells and fields that it shows.
PICTURES = (
    ("rate", "Thousand messages a second (more is better)", 1e3, [(ECHO_50X16, "per_second"), (ECHO_500X1, "per_second")]),
    (
        "cpu",
        "CPU time of the server, µs (less is better)",
        1,
        [(cell, "server_cpu_us_each") for cell in (ECHO_50X16, ECHO_500X1, ECHO_64K, BROADCAST, HANDSHAKES)],
    ),
    (
        "latency",
        "Latency, µs (less is better)",
        1,
        [(ECHO_1X1, "p50_us"), (RATE, "p50_us"), (RATE, "p99_us")],
    ),
    ("memory", "Bytes of memory for a connection that does nothing (less is better)", 1, [(IDLE, "bytes_each"), (BURST, "bytes_each")]),
)


def write(servers, cells, bars, results, conditions):
    folder = DOCS / "benchmarks"
    folder.mkdir(exist_ok=True)
    for name, title, unit, shown in PICTURES:
        (folder / f"{name}.svg").write_text(picture(title, unit, shown, servers, results))
    (DOCS / "benchmarks.md").write_text(text(servers, cells, bars, results, conditions))


def text(servers, cells, bars, results, conditions):
    pictures = "\n".join(f"![{title}](benchmarks/{name}.svg)\n" for name, title, _, _ in PICTURES)
    head = ["64 B of text unless said otherwise", "", *(server.name for server in servers)]
    met = [["met" if is_met else "**missed**", *rest] for is_met, *rest in verdicts(bars, results)]
    return f"""# Benchmarks

Written by `make bench BENCH="--page"` on {date.today():%-d %B %Y}; [bench/README.md](../bench/README.md) says what is
measured and how to read it. Figures are medians, in brackets times that of the floor in the same round.

{conditions}

- `floor` is an echo with nothing but epoll, recv, unmask and send, and no server can be cheaper; `hop` is the same with a
  second thread that decides what is sent, as a host does. `codec` is wsengine's protocol without its engine.
- `c` and `php` are wsengine with a host in C and in PHP.
- `uwebsockets` is the library of PyPI's socketify, called from C; `libwebsockets` Debian's; `ws` Debian's on its Node.js;
  `tungstenite` is tokio-tungstenite with buffers of 4 KiB.

{pictures}
{markdown([head, *table(servers, cells, results)])}
## What we have set ourselves

{markdown([["", "bar", "measured", "limit"], *met])}
"""


def markdown(rows):
    head, *rest = rows
    lines = [head, ["---"] * len(head), *rest]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def picture(title, unit, shown, servers, results):
    """Bars that lie, a group for each cell."""
    parts, y = [], 40
    for cell, field in shown:
        values = [(server.name, results.value(cell, server.name, field)) for server in servers]
        values = [(name, value / unit) for name, value in values if value is not None]
        most = max((value for _, value in values), default=1) or 1
        label = next(figure.label for figure in cell.figures if figure.field == field)
        parts.append(f'<text x="0" y="{y}" font-weight="bold">{cell.title}: {label.removeprefix("thousand ")}</text>')
        y += 8
        for name, value in values:
            colour = "#1b6ca8" if name in OURS else "#999"
            width = BAR_WIDTH * value / most
            middle = y + BARS_HIGH - 6
            parts.append(f'<text x="{NAMES_WIDTH - 8}" y="{middle}" text-anchor="end">{name}</text>')
            parts.append(f'<rect x="{NAMES_WIDTH}" y="{y}" width="{width:.1f}" height="{BARS_HIGH - 4}" fill="{colour}"/>')
            digits = 0 if value >= 100 else 2
            parts.append(f'<text x="{NAMES_WIDTH + width + 6:.1f}" y="{middle}">{value:,.{digits}f}</text>')
            y += BARS_HIGH
        y += 26
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {NAMES_WIDTH + BAR_WIDTH + 80} {y}" '
        'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text x="0" y="16" font-size="14">{title}</text>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def machine():
    """What it was measured on."""
    cpus = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.split(" (")[0]
    kernel = platform.release().split("-")[0]
    return f"{len(cpus)} x {cpus[0] if cpus else platform.machine()}, Linux {kernel}, {rust}"
