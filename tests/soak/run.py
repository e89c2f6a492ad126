#!/usr/bin/env python3
"""Hours of coming and going: run.py [--hours H] [--plot FILE]

Visitors connect, talk and leave, by a closing handshake, by hanging up or by RST, from a server in C and one in PHP,
beside clients that stay, at first twice as many. Memory, descriptors, visits and messages are noted each second. After the
first tenth of the time memory may grow by 1 % (measured as the median of a tenth), and at the end descriptors and threads
are those of the beginning.
"""

import argparse
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/hostile"))
import attacks  # noqa: E402

OPTIONS = ["io_threads=1", "compression=no_context_takeover", "max_message_bytes=1048576"]
WSLOAD = ROOT / "target/release/wsload"
COMMANDS = {
    "C": [ROOT / "target/examples-c/echo", "127.0.0.1:0", *OPTIONS],
    "PHP": [
        *("php", "-q", "-d", f"extension={ROOT / 'target/release/libwsengine_php.so'}"),
        *(ROOT / "examples/php/echo/server.php", "127.0.0.1", "0", *OPTIONS),
    ],
}
MOST_GROWTH = 0.01
COLOURS = {"C": "#1b6ca8", "PHP": "#7a3e9d"}


class Server:
    def __init__(self, name):
        self.name = name
        self.process = subprocess.Popen(list(map(str, COMMANDS[name])), stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.port = int(re.search(r":(\d+)", self.process.stdout.readline())[1])
        # Samples of each, with their times.
        self.memory, self.descriptors, self.visits, self.messages = [], [], [], []
        self.visited = 0

    def proc(self, name):
        return Path(f"/proc/{self.process.pid}/{name}")

    def state(self):
        """Memory, descriptors and threads."""
        status = self.proc("status").read_text()
        threads = int(re.search(r"Threads:\s+(\d+)", status)[1])
        # VmRSS is out by dozens of pages for each processor or thread on many kernels (proc(5)), and that is more than 1 %.
        memory = int(re.search(r"Rss:\s+(\d+)", self.proc("smaps_rollup").read_text())[1]) << 10
        return memory, len(os.listdir(self.proc("fd"))), threads

    def take_rates(self, file):
        """Visits and messages per second, from what visit() has said."""
        file.seek(0)
        said = [tuple(map(float, line.split())) for line in file]
        for (before, opened, messages), (now, more_opened, more_messages) in zip(said, said[1:]):
            self.visits.append((now, (more_opened - opened) / (now - before)))
            self.messages.append((now, (more_messages - messages) / (now - before)))
        self.visited = int(said[-1][1])

    def end(self):
        self.process.terminate()
        status = self.process.wait(30)
        self.process.stdout.close()
        return status


def visitor(visits):
    """What one visitor sends; nothing more when it hangs up."""
    yield attacks.HANDSHAKE
    for _ in range(random.randrange(6)):
        size = random.choice((5, 60, 300, 5000, 100_000))
        yield attacks.frame(random.choice((attacks.TEXT, attacks.BINARY)), b"x" * size)
        visits.messages += 1
        yield attacks.frame(attacks.PING, b"still there?")
    if random.random() < 0.5:
        yield attacks.frame(attacks.CLOSE, b"\x03\xe8")


class Visitors(attacks.Peers):
    """Half of those that hang up do it by RST."""

    def __init__(self, port, count, pause):
        self.messages = 0
        super().__init__(port, count, lambda: visitor(self), pause=pause)

    def end(self, peer):
        if random.random() < 0.5:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        super().end(peer)


def visit(port, seconds):
    """First more at once than ever after: buffers and the allocator reach the size that they keep. Says now and then what
    time it is, and how many visits and messages there have been."""
    os.nice(5)
    opened = messages = 0
    print(time.monotonic(), opened, messages)
    for count, pause, share in (200, 0.0, 0.05), (100, 0.005, 0.95):
        visitors = Visitors(port, count, pause)
        parts = max(round(seconds * share / interval(seconds)), 1)
        for _ in range(parts):
            visitors.run(seconds * share / parts)
            print(time.monotonic(), opened + visitors.opened, messages + visitors.messages)
        visitors.close()
        opened += visitors.opened
        messages += visitors.messages


def interval(seconds):
    """Between two samples."""
    return max(1.0, seconds / 2000)


def soak(hours):
    seconds = hours * 3600
    servers = [Server(name) for name in COMMANDS]
    # PHP says where it listens before it has opened all that it will.
    time.sleep(1)
    begin = {server.name: server.state() for server in servers}
    stayers = [start_stayers(server, seconds) for server in servers]
    said = [tempfile.TemporaryFile("w+") for _ in servers]
    workers = [
        subprocess.Popen([sys.executable, __file__, "--visit", str(server.port), str(seconds)], stdout=file)
        for server, file in zip(servers, said)
    ]
    start = time.monotonic()
    while (now := time.monotonic()) - start < seconds:
        for server in servers:
            memory, descriptors, _ = server.state()
            server.memory.append((now, memory / 2**20))
            server.descriptors.append((now, descriptors))
        time.sleep(interval(seconds))
    for server, worker, file in zip(servers, workers, said):
        worker.wait(60)
        server.take_rates(file)
    stayed = [stayer.communicate(timeout=60)[0] for stayer in stayers]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and any(server.state()[1:] != begin[server.name][1:] for server in servers):
        time.sleep(0.2)
    passed = failed = 0
    for server, stay in zip(servers, stayed):
        wrong = judge(server, begin[server.name])
        if not stay or json.loads(stay)["unanswered"]:
            wrong.append("those who stayed were hurt")
        # PHP's has no handler for SIGTERM.
        if (status := server.end()) not in (0, -signal.SIGTERM):
            wrong.append(f"it ended with {status}")
        passed, failed = passed + (not wrong), failed + bool(wrong)
        first, last = tenths(server)
        print(
            f"{'FAILED' if wrong else 'ok'} {server.name}: {server.visited} visits in {seconds:.0f} s, "
            f"{first:.2f} MiB after the first tenth, {last:.2f} MiB at the end"
            + "".join(f"; {what}" for what in wrong)
        )
    return servers, passed, failed


def start_stayers(server, seconds):
    """Clients that say something now and then, and count the answers."""
    command = [WSLOAD, "--json", "rate", f"127.0.0.1:{server.port}", "--connections=50", "--rate=50", "--share"]
    return subprocess.Popen([*map(str, command), f"--seconds={seconds:.0f}"], stdout=subprocess.PIPE, text=True)


def tenths(server):
    """Memory in the second tenth and in the last."""
    memory = [memory for _, memory in server.memory]
    tenth = max(len(memory) // 10, 1)
    return median(memory[tenth : 2 * tenth] or memory), median(memory[-tenth:])


def judge(server, begin):
    wrong = []
    first, last = tenths(server)
    if last - first > MOST_GROWTH * first:
        wrong.append(f"memory has grown by {(last / first - 1) * 100:.1f} %")
    _, descriptors, threads = server.state()
    if descriptors != begin[1]:
        wrong.append(f"{descriptors} descriptors, {begin[1]} at the beginning")
    if threads > begin[2]:
        wrong.append(f"{threads} threads, {begin[2]} at the beginning")
    return wrong


def plot(servers, path):
    """All that was sampled over time, as SVG."""
    pictures = ("memory, MiB", "memory"), ("descriptors", "descriptors"), ("visits/s", "visits"), ("messages/s", "messages")
    width, height, left, gap = 760, 130, 60, 36
    bottom = len(pictures) * (height + gap)
    start = servers[0].memory[0][0]
    seconds = servers[0].memory[-1][0] - start
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + left + 20} {bottom + 22}" '
             'font-family="sans-serif" font-size="12">']
    for index, (what, name) in enumerate(pictures):
        top = gap - 8 + index * (height + gap)
        curves = [(server, means(getattr(server, name))) for server in servers]
        most = max(value for _, curve in curves for _, value in curve) * 1.1
        parts.append(f'<text x="{left}" y="{top - 8}">{what}</text>')
        parts.append(f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" stroke="#999"/>')
        for share in (0, 0.5, 1):
            y = top + height * (1 - share)
            parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{most * share:.0f}</text>')
        for server, curve in curves:
            points = " ".join(
                f"{left + width * min((now - start) / seconds, 1):.1f},{top + height * (1 - value / most):.1f}"
                for now, value in curve
            )
            parts.append(f'<polyline fill="none" stroke="{COLOURS[server.name]}" points="{points}"/>')
    for index, server in enumerate(servers):
        x = left + width - 120 + index * 60
        parts.append(f'<text x="{x}" y="20" fill="{COLOURS[server.name]}">{server.name}</text>')
    parts.append(f'<text x="{left + width}" y="{bottom + 14}" text-anchor="end">{seconds / 60:.0f} minutes</text>')
    Path(path).write_text("\n".join(parts) + "\n</svg>\n")


def means(samples):
    """At most 300 points: more would not be seen."""
    several = len(samples) // 300 + 1
    parts = [samples[first : first + several] for first in range(0, len(samples), several)]
    return [tuple(map(mean, zip(*part))) for part in parts]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--plot", metavar="FILE", help="write a picture there")
    parser.add_argument("--visit", nargs=2, metavar=("PORT", "SECONDS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.visit:
        return visit(int(options.visit[0]), float(options.visit[1]))
    servers, passed, failed = soak(options.hours)
    if options.plot:
        plot(servers, options.plot)
    print(f"soak: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
