#!/usr/bin/env python3
"""A hundred good clients beside hostile ones: run.py [--seconds S] [--check] [--awake] [--undisturbed] [ATTACK...]

For each attack of attacks.py a server runs it for so long, while wsload echoes 2,000 messages a second over 100
connections, each latency from when the kernel has sent a message until it has the answer. All of them must be answered,
the server must stay below its caps of memory, and get rid of the attackers' descriptors when they have gone; none may
wait for a second. Of each attack something must be seen, or it has not reached what it attacks. How late the answers are
is shown beside those of a server that nobody attacks.

With --check answers more than twice as late as those are an error. The machine does other things, too, for seconds and
for minutes. So each attack has five runs, when all others have had their turn, with a run beside nobody before each of
them, and the median of the five is compared with the median of all that were beside nobody. What others had of the
processors meanwhile is shown: a hundredth of the time in pieces of milliseconds, and p99 is what they did. With
--undisturbed only the answers count for which nobody else had the server's processor, as root can see in a trace.

A processor that rests is woken late, and beside nobody it rests most of the time: that is part of how late those answers
are. With --awake it is not: both processors are kept awake, in all runs, and each of a session is scheduled for itself,
where root can say so. That is the stricter measure: it shows what the server and the kernel do beside an attack. What twice
as late means then changes with the hour: beside nobody p99 was 165 us in one and 63 in the next, on one virtual machine.

The server has one processor; the attacker has what the good clients leave of another.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOST = ROOT / "target/hostile/host"
LIBRARY = ROOT / "target/release/libwsengine.so"
WSLOAD = ROOT / "target/release/wsload"
ATTACKS = Path(__file__).with_name("attacks.py")

sys.path.insert(0, str(ATTACKS.parent))
import attacks  # noqa: E402
import undisturbed  # noqa: E402

sys.path.insert(0, str(ROOT / "tests/interop"))
from certificates import certificates  # noqa: E402

OPTIONS = {
    "io_threads": 1,
    "max_message_bytes": 256 * 1024,
    "max_fragments": 1024,
    "max_control_frames_per_s": 50,
    "send_queue_bytes": 256 * 1024,
    "send_queue_messages": 4096,
    "compression": "context_takeover",
    "compression_threshold_bytes": 0,
    "handshake_timeout_ms": 2000,
    "write_stall_ms": 1000,
}
# 1,024 sockets that are no connections yet, 100 attackers with a message and a queue each, and twice that to grow.
MOST_MEMORY = 256 << 20
GONE_AFTER = 8.0
TOO_LATE = 1_000_000  # microseconds
ROUNDS = 5
# The thread that a processor has when nobody wants it.
RESTS = 0
# It takes a processor's time only when nobody else wants it. A process of that kind that does nothing but count is put aside
# for others late, by up to 3 ms on some kernels; one that says all the time that it may be is not.
AWAKE = """
import os
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
parent = os.getppid()
while os.getppid() == parent:
    os.sched_yield()
"""
# All of a session can count as one, for each processor with the weight of those that run there. With one who keeps it
# awake, and weighs nothing, that changes so much that a thread of the kernel waited for 160 ms; what RCU had to free by
# then took 2 ms in one piece, while a message waited (Linux 6.18).
GROUPS = Path("/proc/sys/kernel/sched_autogroup_enabled")


class Server:
    def __init__(self):
        options = {
            **OPTIONS,
            "listen": "127.0.0.1:0,tls://127.0.0.1:0",
            "tls_cert": certificates().server,
            "tls_key": certificates().key,
        }
        command = [HOST, *(f"{name}={value}" for name, value in options.items())]
        self.process = subprocess.Popen([*on_processor(0), *map(str, command)], stdout=subprocess.PIPE, text=True)
        self.port, self.tls_port = (int(re.search(r":(\d+)$", self.process.stdout.readline())[1]) for _ in range(2))

    def most_memory(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) << 10

    def seen(self):
        """What the host has seen until now, by the names of the counters and as closed_CODE."""
        self.process.send_signal(signal.SIGUSR1)
        pairs = (word.split("=") for word in self.process.stdout.readline().split())
        return Counter({name: int(value) for name, value in pairs})

    def threads(self):
        return {int(thread) for thread in os.listdir(f"/proc/{self.process.pid}/task")}

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self):
        self.process.terminate()
        status = self.process.wait(20)
        self.process.stdout.close()
        return status


def build():
    HOST.parent.mkdir(parents=True, exist_ok=True)
    library = HOST.parent / "libwsengine.so.0"
    library.unlink(missing_ok=True)
    library.symlink_to(LIBRARY)
    source = Path(__file__).with_name("host.c")
    command = ["gcc", "-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}", source, "-o", HOST]
    subprocess.run([*map(str, command), str(library), "-Wl,-rpath,$ORIGIN"], check=True)


def processor(number):
    return sorted(os.sched_getaffinity(0))[number]


def on_processor(number):
    return ["taskset", "-c", str(processor(number))]


@contextlib.contextmanager
def killed_after(process):
    """Nothing is left running, whatever goes wrong meanwhile."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def kept_awake():
    """Neither of the two processors rests meanwhile. Gives the threads that see to it."""
    with without_groups(), contextlib.ExitStack() as spinning:
        threads = set()
        for number in (0, -1):
            process = subprocess.Popen([*on_processor(number), sys.executable, "-c", AWAKE])
            threads.add(spinning.enter_context(killed_after(process)).pid)
        yield threads


@contextlib.contextmanager
def without_groups():
    """Nobody is scheduled as one of a session meanwhile."""
    allowed = os.access(GROUPS, os.W_OK)
    if GROUPS.exists() and not allowed:
        print(f"{GROUPS} can't be written: the kernel's own threads may wait, and answers with them")
    before = GROUPS.read_text() if allowed else None
    if allowed:
        GROUPS.write_text("0")
    try:
        yield
    finally:
        if allowed:
            GROUPS.write_text(before)


def time_of_others():
    """What all threads of other process groups have had of the processors until now, in milliseconds, by their ids. The
    kernel's own are among them: what they do is not always for others, but it is nobody's who is measured."""
    had = {}
    for process in Path("/proc").glob("[0-9]*"):
        # Who ends meanwhile has no more of it.
        with contextlib.suppress(OSError):
            group = int((process / "stat").read_text().rpartition(")")[2].split()[2])
            if group != os.getpgrp():
                for thread in process.glob("task/*/schedstat"):
                    had[thread.parent.name] = int(thread.read_text().split()[0]) / 1e6
    return had


def start(server, attack, seconds):
    command = [sys.executable, str(ATTACKS), attack, str(server.port), str(server.tls_port), str(seconds)]
    return subprocess.Popen([*on_processor(-1), *command], stdout=subprocess.PIPE, text=True)


def good_clients(server, seconds):
    """The report of wsload, and its process, which has ended; an error of it is a client that was hurt."""
    command = [WSLOAD, "--json", "rate", f"127.0.0.1:{server.port}", "--connections=100", "--rate=2000", "--share"]
    command += [f"--seconds={seconds}", f"--cpu={processor(-1)}"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with killed_after(process):
        out, error = process.communicate(timeout=90)
    report = json.loads(out) if process.returncode == 0 else {"error": error.strip() or "wsload failed"}
    return report, process


def of_report(report):
    """What went wrong for the good clients, as a list."""
    if "error" in report:
        return [f"a good client was hurt: {report['error']}"]
    if report["unanswered"]:
        return [f"{report['unanswered']} messages of good clients without an answer"]
    if report["max_us"] > TOO_LATE:
        return [f"a good client waited for {report['max_us'] / 1e6:.1f} s"]
    return []


def p99(times):
    return sorted(times)[len(times) * 99 // 100] if times else float("inf")


def measure(attack, seconds, idle=None):
    """What went wrong, as a list, and what was seen. With `idle`, threads that have the server's processor only when nobody
    else wants it, answers that others were in the way of do not count."""
    server = Server()
    trace = None if idle is None else undisturbed.Trace(server.port, processor(0))
    with killed_after(server.process):
        before = server.descriptors()
        with trace or contextlib.nullcontext(), killed_after(start(server, attack, seconds + 1)) as attacker:
            others_before = time_of_others()
            report, clients = good_clients(server, seconds)
            if trace:
                trace.stop()
            others = sum(had - others_before.get(thread, 0) for thread, had in time_of_others().items())
            memory = server.most_memory()
            seen = server.seen()
            did = attacker.communicate(timeout=60)[0].strip()
            seen.update({answer: int(count) for answer, count in re.findall(r"(\w+): (\d+)", did)})
            late, noise = report.get("p99_us", float("inf")), f"others had {others:.0f} ms"
            if trace:
                answers = trace.answers(clients.pid, server.threads() | idle)
                undisturbed_ones = [time for time, had in answers if had == 0]
                late = p99(undisturbed_ones)
                left_out = len(answers) - len(undisturbed_ones)
                noise += f", {left_out} left out ({p99([time - had for time, had in answers]):.0f} us with them)"
        wrong = of_report(report)
        if attacker.returncode != 0:
            wrong.append("the attacker failed")
        if memory > MOST_MEMORY:
            wrong.append(f"{memory >> 20} MiB")
        deadline = time.monotonic() + GONE_AFTER
        while server.descriptors() > before and time.monotonic() < deadline:
            time.sleep(0.05)
        if server.descriptors() > before:
            wrong.append(f"{server.descriptors() - before} descriptors are left")
        if status := server.end():
            wrong.append(f"the server ended with {status}")
    return wrong, {"p99": late, "noise": noise, "memory": memory, "did": did, "seen": seen}


class Run:
    """An attack, and what was seen of it in all rounds."""

    def __init__(self, attack, seconds):
        self.attack, self.seconds = attack, seconds
        self.wrong = []
        self.p99 = []
        self.noise = []
        self.last = {}

    def once_more(self, nobody, idle):
        wrong, self.last = measure(self.attack, self.seconds, idle)
        self.wrong += wrong + self.missing(nobody)
        self.p99.append(self.last["p99"])
        self.noise.append(self.last["noise"])

    def missing(self, nobody):
        """What should be seen of the attack, and is not."""
        more = self.last["seen"] - nobody.last["seen"]
        expected = attacks.named(self.attack).seen
        return [f"{name} is {more[name]}, not {least}" for name, least in expected.items() if more[name] < least]

    def times_as_late(self, nobody):
        return statistics.median(self.p99) / statistics.median(nobody.p99)

    def line(self, nobody):
        times = f"{statistics.median(self.p99):.0f} us, {self.times_as_late(nobody):.1f} x"
        return f"{self.attack}: p99 {times}, {self.noise[-1]}, {self.last['memory'] >> 20} MiB; {self.last['did']}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=f"of {', '.join(attacks.ATTACKS)}")
    parser.add_argument("--seconds", type=float, default=2, help="of each attack (2)")
    parser.add_argument("--check", action="store_true", help="answers that come too late are errors")
    parser.add_argument("--awake", action="store_true", help="keep both processors from resting meanwhile")
    parser.add_argument("--undisturbed", action="store_true", help="leave out what others were in the way of")
    options = parser.parse_args()
    if unknown := set(options.attacks) - set(attacks.ATTACKS):
        parser.error(f"there is no {unknown.pop()}")
    if options.undisturbed and not undisturbed.is_possible():
        parser.error(f"--undisturbed needs root, and traces of TCP below {undisturbed.TRACING}")
    build()
    nobody = Run("nothing", options.seconds)
    runs = [Run(attack, options.seconds) for attack in options.attacks or attacks.ATTACKS]
    with kept_awake() if options.awake else contextlib.nullcontext(set()) as idle:
        idle = idle | {RESTS} if options.undisturbed else None
        for _ in range(ROUNDS if options.check else 1):
            for run in runs:
                if options.check or not nobody.p99:
                    nobody.once_more(nobody, idle)
                run.once_more(nobody, idle)
                print(run.line(nobody), flush=True)
    print(nobody.line(nobody))
    if options.check:
        for run in runs:
            if run.times_as_late(nobody) > 2:
                seen = ", ".join(f"{late:.0f} us ({noise})" for late, noise in sorted(zip(run.p99, run.noise)))
                run.wrong.append(f"the answers come too late: {seen}")
    failed = [run for run in [*runs, nobody] if run.wrong]
    for run in failed:
        print(f"FAILED {run.line(nobody)}; {', '.join(run.wrong)}")
    print(f"hostile: {len(runs) + 1 - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
