#!/usr/bin/env python3
"""Measures the servers of servers.py in turns, prints one table of medians and says which bars are met.

Builds nothing but the C programs: `make bench` builds the rest first. By default the server runs on one CPU
and the load client on the next, so that neither takes the other's time.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from statistics import median

from cells import BARS, CELLS, IDLE_CONNECTIONS
from servers import SERVERS, TARGET, Failure, Running

WSLOAD = TARGET / "release" / "wsload"
# Connections, what a server keeps open besides, and room for one that moves its sockets to high numbers.
DESCRIPTORS = IDLE_CONNECTIONS + 2_560
# Above this share of the CPUs taken by other programs a measurement is repeated.
QUIET = 0.05


def main():
    options = arguments()
    try:
        raise_descriptor_limit()
        if not WSLOAD.exists():
            raise Failure(f"{WSLOAD} is missing: run `make bench`, or `cargo build --release -p wsload`")
        servers = [server for server in SERVERS if server.name in options.servers and is_built(server)]
        for server in servers:
            server.compile()
        cells = [cell for cell in CELLS if options.only in cell.title]
        if not cells:
            raise Failure(f"no cell contains {options.only!r}; there are: {'; '.join(cell.title for cell in CELLS)}")
        results, failures = measure(servers, cells, options)
    except Failure as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print_table(servers, cells, results)
    bars = [bar for bar in BARS if bar.cell in cells and bar.server in options.servers]
    missed = print_bars(bars, results)
    for failure in failures:
        print(f"failed: {failure}")
    print_machine(options, results)
    return 1 if failures or (missed and options.check) else 0


def arguments():
    names = [server.name for server in SERVERS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="measure each cell so often (3)")
    parser.add_argument("--seconds", type=float, default=2, help="length of each measurement (2)")
    parser.add_argument("--settle", type=float, default=2, help="seconds before idle memory is read (2)")
    parser.add_argument("--retries", type=int, default=2, help="repeat a disturbed measurement so often (2)")
    parser.add_argument("--servers", nargs="+", choices=names, default=names, help="only these servers")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cells whose title contains this")
    parser.add_argument("--spread", action="store_true", help="let the server use all CPUs")
    parser.add_argument("--check", action="store_true", help="exit with status 1 if a bar is missed")
    options = parser.parse_args()
    if options.rounds < 1 or options.retries < 0:
        parser.error("--rounds must be at least 1, --retries at least 0")
    cpus = sorted(os.sched_getaffinity(0))
    options.client_cpu = cpus[1] if len(cpus) > 1 else cpus[0]
    options.server_cpus = set(cpus) if options.spread else {cpus[0]}
    return options


def raise_descriptor_limit():
    """For this process and all that it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        raise Failure(
            f"{IDLE_CONNECTIONS:,} connections need {DESCRIPTORS:,} descriptors, but the hard limit is {hard:,}: "
            "raise it, as root with `ulimit -Hn`, for good in /etc/security/limits.conf"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def is_built(server):
    missing = ", ".join(str(path) for path in server.missing())
    if missing:
        print(f"bench: {server.name} is left out, not built: {missing}", file=sys.stderr)
    return not missing


def measure(servers, cells, options):
    """The reports by (cell, server), one for each round; servers take turns in each cell of a round."""
    results, failures = {}, []
    for number in range(1, options.rounds + 1):
        for cell in cells:
            for server in servers:
                if cell.program not in server.programs:
                    continue
                print(f"round {number}/{options.rounds}: {cell.title}, {server.name}", file=sys.stderr)
                try:
                    report = measure_quietly(server, cell, options)
                    results.setdefault((cell.title, server.name), []).append(report)
                except Failure as failure:
                    failures.append(f"{cell.title}, {server.name}, round {number}: {failure}")
    return results, failures


def measure_quietly(server, cell, options):
    """Measures again when other programs were busy meanwhile; keeps the quietest attempt."""
    attempts = []
    for _ in range(1 + options.retries):
        others = OtherPrograms()
        report = measure_once(server, cell, options)
        report["others"] = others.share()
        attempts.append(report)
        if report["others"] <= QUIET:
            break
    return min(attempts, key=lambda report: report["others"])


def measure_once(server, cell, options):
    """One cell against a fresh server, so that no measurement inherits another's memory."""
    with Running(server.programs[cell.program], options.server_cpus) as running:
        mode, *load = cell.load.split()
        command = [WSLOAD, "--json", "--cpu", str(options.client_cpu), "--pid", str(running.pid)]
        command += [mode, running.address, *load]
        command += ["--settle", str(options.settle)] if mode == "idle" else ["--seconds", str(options.seconds)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120 + options.seconds)
        except subprocess.TimeoutExpired as timeout:
            raise Failure(f"no end after {timeout.timeout:.0f} s; the server said:{running.said()}") from timeout
        if done.returncode != 0:
            raise Failure(f"{done.stderr.strip()}; the server said:{running.said()}")
        return json.loads(done.stdout)


def value_of(results, cell, server, field):
    """The median over the rounds; nothing if the cell was not measured."""
    reports = results.get((cell.title, server))
    return median(report[field] for report in reports) if reports else None


def ratio_to_floor(results, cell, server, field):
    """The median of the ratios within each round: what slows the machine slows both."""
    pairs = zip(results.get((cell.title, server), []), results.get((cell.title, "floor"), []))
    ratios = [report[field] / floor[field] for report, floor in pairs if floor[field]]
    return median(ratios) if ratios else None


def print_table(servers, cells, results):
    rows = [["64 B text, medians (x floor)", "", *(server.name for server in servers)]]
    for cell in cells:
        for figure in cell.figures:
            row = [cell.title, figure.label]
            for server in servers:
                value = value_of(results, cell, server.name, figure.field)
                ratio = ratio_to_floor(results, cell, server.name, figure.field)
                text = "-" if value is None else figure.show(value)
                if server.name != "floor" and figure.ratio and ratio is not None:
                    text += f" ({ratio:.2f})"
                row.append(text)
            rows.append(row)
    widths = [max(map(len, column)) for column in zip(*rows)]
    print()
    for row in rows:
        words = [word.ljust(width) if i < 2 else word.rjust(width) for i, (word, width) in enumerate(zip(row, widths))]
        print("  ".join(words).rstrip())
    print()


def print_bars(bars, results):
    """Says of each bar whether it is met; returns how many are not, those that were not measured included."""
    missed = 0
    for bar in bars:
        value = value_of(results, bar.cell, bar.server, bar.field)
        met = value is not None and bar.met(value)
        missed += not met
        verdict, measured = "met" if met else "missed", "not measured" if value is None else f"{value:,.0f}"
        print(f"{verdict:<7} {bar.text}: {measured}")
    return missed


def print_machine(options, results):
    server = ",".join(map(str, sorted(options.server_cpus)))
    print(f"{options.rounds} rounds; server on CPU {server}, load client on CPU {options.client_cpu} of {os.cpu_count()}")
    if options.server_cpus == {options.client_cpu}:
        print("one CPU for both: rates are what is left of it beside the load client")
    disturbed = [report["others"] for reports in results.values() for report in reports if report["others"] > QUIET]
    if disturbed:
        print(
            f"other programs took {median(disturbed):.0%} of the CPUs during {len(disturbed)} of "
            f"{sum(map(len, results.values()))} measurements: rates are too low there, latencies too high"
        )


class OtherPrograms:
    """The share of all CPUs that programs not started here took since this was made."""

    def __init__(self):
        self._total, self._busy = self._read()

    def share(self):
        total, busy = self._read()
        return max(0.0, (busy - self._busy) / max(total - self._total, 1e-9))

    @staticmethod
    def _read():
        """CPU seconds of the machine, and those of them that were neither idle nor ours."""
        with open("/proc/stat", encoding="ascii") as stat:
            ticks = [int(field) for field in stat.readline().split()[1:9]]
        seconds = [count / os.sysconf("SC_CLK_TCK") for count in ticks]
        idle = seconds[3] + seconds[4]
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        ours = sum(one.ru_utime + one.ru_stime for one in usage)
        return sum(seconds), sum(seconds) - idle - ours


if __name__ == "__main__":
    sys.exit(main())
