"""Which answers had the server's processor for themselves: by a trace of the kernel, for root.

Where others share the machine one of them has a processor for milliseconds now and then, a hundredth of the time; p99 is
what they did. So a message is left out here if somebody else had the server's processor for a moment before its answer came.
The kernel's threads that may work for sockets are not somebody else, and what a virtual machine loses to its host is not
seen. An answer's time is from the arrival of the message at the server's socket to its own at the client's.

That flatters: an answer that is late for another reason is in the way of others more often. With all answers, and only the
time that others had taken off, it is too severe: what has come meanwhile waits in a crowd. The truth lies between.
"""

import os
import re
from bisect import bisect_left
from collections import Counter
from pathlib import Path

TRACING = Path("/sys/kernel/tracing")
BUFFER_KB = 64 * 1024
FOR_SOCKETS = ("ksoftirqd/", "kworker/", "rcu", "migration/")
# So long after the last of the good clients has come, the attack has begun, and what each of them sends is known.
BEGINNING = 0.3
ARRIVAL = re.compile(r"-(\d+)\s+\[.*? (\d+\.\d+): tcp_probe: .*?src=\S+?:(\d+) dest=\S+?:(\d+) ")
SWITCH = re.compile(r" (\d+\.\d+): sched_switch: .*==> next_comm=(.*) next_pid=(\d+)")


def is_possible():
    return os.access(TRACING / "instances", os.W_OK) and os.access(TRACING / "events/tcp/tcp_probe", os.R_OK)


class Trace:
    """What arrives at both ends of a server's connections, and who has its processor, in a buffer of its own."""

    def __init__(self, port, processor):
        self.port = port
        self.place = TRACING / f"instances/wsengine_{os.getpid()}"
        self.filters = {"tcp/tcp_probe": f"data_len > 0 && (sport == {port} || dport == {port})"}
        self.filters["sched/sched_switch"] = f"CPU == {processor}"

    def __enter__(self):
        self.place.mkdir()
        try:
            (self.place / "buffer_size_kb").write_text(str(BUFFER_KB))
            # The same on all processors.
            (self.place / "trace_clock").write_text("mono")
            for event, condition in self.filters.items():
                (self.place / "events" / event / "filter").write_text(condition)
                (self.place / "events" / event / "enable").write_text("1")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.place.rmdir()

    def stop(self):
        (self.place / "tracing_on").write_text("0")
        for stats in self.place.glob("per_cpu/cpu*/stats"):
            if lost := int(re.search(r"overrun: (\d+)", stats.read_text())[1]):
                raise SystemExit(f"{lost} events are lost: the buffer of the trace is too small")

    def answers(self, client, of_server):
        """Of each answer to the process `client` its time, and how much of that others had, in microseconds. `of_server`:
        threads that may have the server's processor."""
        arrivals, others = self.read(of_server)
        first, messages, by_client = {}, Counter(), Counter()
        for context, at, to, who in arrivals:
            if to == self.port:
                first.setdefault(who, at)
                messages[who] += 1
                by_client[who] += context == client
        # What is sent arrives before the call that sends it returns, or soon after, in somebody else's.
        good = {who for who, count in by_client.items() if 2 * count > messages[who]}
        begin = max((first[who] for who in good), default=0) + BEGINNING
        answers, waiting = [], {}
        for _, at, to, of in arrivals:
            if to == self.port and of in good:
                waiting.setdefault(of, at)
            elif to in good and (sent := waiting.pop(to, None)) and sent > begin:
                answers.append(((at - sent) * 1e6, overlap(others, sent, at) * 1e6))
        return answers

    def read(self, of_server):
        """Arrivals of data: in whose call, when, at which port, from which. And the stretches in which others had the
        processor, as beginnings and ends."""
        arrivals, others, since = [], [], None
        with (self.place / "trace").open(errors="replace") as lines:
            for line in lines:
                if arrival := ARRIVAL.search(line):
                    context, at, to, of = arrival.groups()
                    arrivals.append((int(context), float(at), int(to), int(of)))
                elif switch := SWITCH.search(line):
                    at, name, thread = float(switch[1]), switch[2], int(switch[3])
                    if since is not None:
                        others.append((since, at))
                    is_other = thread not in of_server and not name.startswith(FOR_SOCKETS)
                    since = at if is_other else None
        if since is not None:
            others.append((since, float("inf")))
        return arrivals, others


def overlap(stretches, begin, end):
    had = 0
    for since, until in stretches[max(0, bisect_left(stretches, (begin,)) - 1) :]:
        if since >= end:
            break
        had += max(0, min(end, until) - max(begin, since))
    return had
