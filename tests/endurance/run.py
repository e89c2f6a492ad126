#!/usr/bin/env python3
"""What must hold when it goes on for long, in PHP: memory, descriptors, threads, signals. Prints its figures."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
RELEASE = HERE.parent.parent / "target/release"
EXTENSION = Path(os.environ.get("PHP_EXTENSION", RELEASE / "libwsengine_php.so"))
MAX_GROWTH_KIB = 1024
MAX_LEFT_OVER = 3
MAX_ANSWER_SECONDS = 0.05
SIGNALS = 1000
# Of signals. In one of them the machine had nothing else to do.
ROUNDS = 10


def main():
    tests = [ten_million_messages, a_thousand_restarts, signals_while_polling]
    failures = [error for test in tests if (error := attempt(test))]
    for error in failures:
        print(f"FAIL: {error}")
    print(f"endurance: {len(tests) - len(failures)} passed, {len(failures)} failed")
    return 1 if failures else 0


def attempt(test):
    try:
        test()
    except Exception as error:  # Whatever it is, the others are to run.
        return f"{test.__name__}: {error!r}"


@contextmanager
def php(script):
    command = ["php", "-q", "-d", f"extension={EXTENSION}", HERE / script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ten_million_messages():
    with php("echo.php") as server:
        address = server.stdout.readline().strip()
        load = [RELEASE / "wsload", "echo", address, "--connections", "50", "--depth", "16", "--seconds", "200"]
        client = subprocess.Popen(load, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            resident = [int(server.stdout.readline().split()[1]) for _ in range(10)]
        finally:
            client.kill()
            client.wait()
    growth = max(resident[1:]) - resident[0]
    print(f"ten million messages: {resident[0]} KiB after one million, {resident[-1]} after ten, at most {growth:+} between")
    assert abs(growth) <= MAX_GROWTH_KIB, f"resident memory moved by {growth} KiB"


def a_thousand_restarts():
    with php("restarts.php") as script:
        lines = [[int(word) for word in script.stdout.readline().split()] for _ in range(2)]
    (early, *held_early), (late, *held_late) = lines
    print(f"1,000 starts and stops: {early} KiB after 100, {late} after all; descriptors and threads {held_late}")
    # The last server may still be putting its things away.
    grown = [late - early for early, late in zip(held_early, held_late)]
    assert max(grown) <= MAX_LEFT_OVER, f"descriptors and threads: {held_early} became {held_late}"
    assert late - early <= MAX_GROWTH_KIB, f"resident memory grew by {late - early} KiB"


def signals_while_polling():
    """None may be lost in any round, and in one of them none may be late; three at least run."""
    quick = False
    for seed in range(ROUNDS):
        answers = sorted(answers_to_signals(random.Random(seed)))
        print(f"{SIGNALS} signals: median {answers[SIGNALS // 2] * 1e6:.0f} us, worst {answers[-1] * 1e3:.1f} ms")
        quick |= answers[-1] < MAX_ANSWER_SECONDS
        if quick and seed >= 2:
            return
    raise AssertionError(f"the worst answer took {answers[-1] * 1e3:.1f} ms")


def answers_to_signals(moments):
    """How long each answer took. The next signal comes when the last was answered, at a random moment."""
    answers = []
    with php("signals.php") as script:
        script.stdout.readline()
        for number in range(1, SIGNALS + 1):
            time.sleep(moments.uniform(0, 0.0006))
            begin = time.monotonic()
            os.kill(script.pid, signal.SIGUSR1)
            answer = script.stdout.readline().strip()
            answers.append(time.monotonic() - begin)
            assert answer == str(number), f"signal {number} was answered by {answer!r}"
    return answers


if __name__ == "__main__":
    sys.exit(main())
