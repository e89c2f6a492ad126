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

import page
from cells import BARS, CELLS, SCALE
from results import Results, table, verdicts
from servers import CERTIFICATE, SERVERS, TARGET, Failure, Running, make_certificate

WSLOAD = TARGET / "release" / "wsload"
# What a server keeps open besides its connections.
OTHER_DESCRIPTORS = 500
# Above this share of the CPUs taken by other programs a measurement is repeated.
QUIET = 0.05


def main():
    options = arguments()
    try:
        if not WSLOAD.exists():
            raise Failure(f"{WSLOAD} is missing: run `make bench`, or `cargo build --release -p wsload`")
        servers = [server for server in SERVERS if server.name in options.servers and is_built(server)]
        all_cells = [*CELLS, *(SCALE if options.scale else [])]
        cells = [cell for cell in all_cells if options.only in cell.title]
        if not cells:
            raise Failure(f"no cell contains {options.only!r}; there are: {'; '.join(cell.title for cell in all_cells)}")
        raise_descriptor_limit(max(cell.connections() for cell in cells) + OTHER_DESCRIPTORS)
        if any(cell.tls for cell in cells):
            make_certificate()
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
    print(conditions(options, results))
    if options.page:
        page.write(servers, cells, bars, results, conditions(options, results))
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
    parser.add_argument("--scale", action="store_true", help="also what many connections and more I/O threads cost")
    parser.add_argument("--page", action="store_true", help="write docs/benchmarks.md and its pictures")
    options = parser.parse_args()
    if options.rounds < 1 or options.retries < 0:
        parser.error("--rounds must be at least 1, --retries at least 0")
    cpus = sorted(os.sched_getaffinity(0))
    options.client_cpu = cpus[1] if len(cpus) > 1 else cpus[0]
    options.server_cpus = set(cpus) if options.spread else {cpus[0]}
    return options


def raise_descriptor_limit(needed):
    """For this process and all that it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise Failure(
            f"{needed:,} descriptors are needed, but the hard limit is {hard:,}: raise it, as root with `ulimit -Hn`, for "
            "good in /etc/security/limits.conf"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def is_built(server):
    missing = server.missing()
    if missing:
        print(f"bench: {server.name} is left out; {'; '.join(missing)}", file=sys.stderr)
    return not missing


def measure(servers, cells, options):
    """A report of each cell and server for each round; servers take turns in each cell of a round."""
    results, failures = Results(), []
    for number in range(1, options.rounds + 1):
        for cell in cells:
            for server in servers:
                if cell.program not in server.programs:
                    continue
                print(f"round {number}/{options.rounds}: {cell.title}, {server.name}", file=sys.stderr)
                try:
                    report = measure_quietly(server, cell, options)
                    results.add(cell, server.name, report)
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
    cpus = os.sched_getaffinity(0) if cell.spread else options.server_cpus
    with Running(server.programs[cell.program], cpus) as running:
        mode, *load = cell.load.split()
        command = [WSLOAD, "--json", "--cpu", str(options.client_cpu), "--pid", str(running.pid)]
        command += [mode, running.address, *load]
        command += ["--tls", CERTIFICATE] if cell.tls else []
        command += ["--settle", str(options.settle)] if mode == "idle" else ["--seconds", str(options.seconds)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120 + options.seconds)
        except subprocess.TimeoutExpired as timeout:
            raise Failure(f"no end after {timeout.timeout:.0f} s; the server said:{running.said()}") from timeout
        if done.returncode != 0:
            raise Failure(f"{done.stderr.strip()}; the server said:{running.said()}")
    return json.loads(done.stdout) | running.figures()


def print_table(servers, cells, results):
    rows = [["64 B text, medians (x floor)", "", *(server.name for server in servers)], *table(servers, cells, results)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    print()
    for row in rows:
        words = [word.ljust(width) if i < 2 else word.rjust(width) for i, (word, width) in enumerate(zip(row, widths))]
        print("  ".join(words).rstrip())
    print()


def print_bars(bars, results):
    """Says of each bar whether it is met; returns how many are not, those that were not measured included."""
    missed = 0
    for is_met, text, measured, limit in verdicts(bars, results):
        missed += not is_met
        print(f"{'met' if is_met else 'missed':<7} {text}: {measured} ({limit})")
    return missed


def conditions(options, results):
    """Under which it was measured, in sentences."""
    server = ",".join(map(str, sorted(options.server_cpus)))
    said = [
        f"{options.rounds} rounds of {options.seconds:g} s; server on CPU {server}, load client on CPU {options.client_cpu}; "
        f"{page.machine()}."
    ]
    if options.server_cpus == {options.client_cpu}:
        said.append("One CPU for both: rates are what is left of it beside the load client.")
    reports = results.all()
    disturbed = [report["others"] for report in reports if report["others"] > QUIET]
    if disturbed:
        said.append(
            f"Other programs took {median(disturbed):.0%} of the CPUs during {len(disturbed)} of {len(reports)} "
            "measurements: rates are too low there, latencies too high."
        )
    return "\n".join(said)


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
