#!/usr/bin/env python3
"""Runs the test suites and sums their counts: tests/run.py [SUITE...], a pattern such as 'autobahn-*' too.

Without arguments it runs all but the few that take minutes.

Expects what `make build` builds. A suite's output goes to target/test-logs and is shown when it
fails. A suite that cannot run, skips a test or runs none has failed. The last lines are the failures once
more, in short, for whoever has the end of the output only, and the sum.
"""

import fnmatch
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "target/test-logs"
EXTENSION = ROOT / "target/release/libwsengine_php.so"
# With the packages of requirements.txt.
PYTHON = ROOT / "target/venv/bin/python"

# How each suite's output names what failed: our runners and cargo, unittest, PHPUnit.
FAILURE = re.compile(r"FAIL|panicked at|^ERROR: |^\d+\) \w+::")

Counts = tuple[int, int]


@dataclass
class Suite:
    """A command, how to read its counts, how long it may take, and whether it runs without being named."""

    command: list[str]
    count: Callable[[str], Counts]
    seconds: int = 300
    by_default: bool = True
    # It measures, or keeps the processors busy itself: nothing else runs meanwhile.
    alone: bool = False


def main() -> int:
    # A shell ignores SIGINT for what it runs in the background, and children inherit that: the tests that
    # press Ctrl-C would wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    suites = all_suites()
    if unknown := [pattern for pattern in sys.argv[1:] if not fnmatch.filter(suites, pattern)]:
        print(f"no suite {unknown[0]}; there are {', '.join(suites)}", file=sys.stderr)
        return 2
    named = [name for pattern in sys.argv[1:] for name in fnmatch.filter(suites, pattern)]
    names = list(dict.fromkeys(named)) or [name for name, suite in suites.items() if suite.by_default]
    LOGS.mkdir(parents=True, exist_ok=True)
    results = run([name for name in names if suites[name].alone], suites, at_once=1)
    results += run([name for name in names if not suites[name].alone], suites, at_once=2)
    for result in results:
        for line in result.failures:
            print(f"{result.name}: {line}")
    passed = sum(result.passed for result in results)
    failed = sum(result.failed for result in results)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def all_suites() -> dict[str, Suite]:
    unittest = [sys.executable, "-m", "unittest", "discover"]
    # Of those that run beside each other the longest come first.
    return {
        # Tests in the extension's crate would need a PHP around them; its tests are the suite "php".
        "cargo": Suite(
            ["cargo", "test", "--workspace", "--exclude", "wsengine-php", "--locked", "--no-fail-fast"],
            count_cargo,
            seconds=900,
            alone=True,
        ),
        "c": Suite(["capi/tests/run.sh"], count_line, seconds=600, alone=True),
        "c-asan": Suite(["capi/tests/run.sh", "asan"], count_line, seconds=900, alone=True),
        "c-tsan": Suite(["capi/tests/run.sh", "tsan"], count_line, seconds=900, alone=True),
        "fuzz": Suite(["scripts/fuzz.sh", "10"], count_line, seconds=900, alone=True),
        "hostile": Suite([sys.executable, "tests/hostile/run.py", "--seconds", "1"], count_line, alone=True),
        "endurance": Suite([sys.executable, "tests/endurance/run.py"], count_line, alone=True),
        "bench": Suite([*unittest, "bench"], count_unittest, alone=True),
        "browser": Suite([*unittest, "tests/browser"], count_unittest, seconds=600),
        "interop": Suite([str(PYTHON), *unittest[1:], "tests/interop"], count_unittest, seconds=600),
        "legacy": Suite([str(PYTHON), *unittest[1:], "tests/legacy"], count_unittest),
        "install": Suite([*unittest, "tests/install"], count_unittest, seconds=600),
        "php": Suite(["php-ext/tests/run.sh"], count_php),
        "proxy": Suite([str(PYTHON), *unittest[1:], "tests/proxy"], count_unittest),
        "interfaces": Suite([*unittest, "tests/interfaces"], count_unittest),
        **autobahn(),
        "abi": Suite([*unittest, "tests/abi"], count_unittest),
        "engine-asan": Suite(
            ["engine/tests/sanitized.sh", "address"], count_cargo, seconds=1800, by_default=False, alone=True
        ),
        "engine-tsan": Suite(
            ["engine/tests/sanitized.sh", "thread"], count_cargo, seconds=3600, by_default=False, alone=True
        ),
    }


def autobahn() -> dict[str, Suite]:
    """Each echo server without compression; with it, some of the cases that compress, and by `make autobahn`
    all cases there are."""
    command = [sys.executable, "tests/autobahn/run.py", "--name"]
    plain = ["--sections", *"1 2 3 4 5 6 7 9 10".split()]
    quick = ["--sections", "12", "13", "--quick"]
    php = ["php", "-q", "-d", f"extension={EXTENSION}", "examples/php/echo/server.php", "127.0.0.1", "0"]
    c = ["target/examples-c/echo", "127.0.0.1:0"]

    def suite(name: str, cases: list[str], server: list[str], **more) -> dict[str, Suite]:
        return {name: Suite([*command, name, *cases, "--", *server], count_line, **more)}

    def compressing(server: list[str], how: str) -> list[str]:
        return [*server, f"compression={how}", "compression_threshold_bytes=0"]

    long = {"seconds": 1500, "by_default": False}
    return {
        **suite("autobahn-php", plain, php),
        **suite("autobahn-c", plain, c),
        **suite("deflate-php", quick, compressing(php, "context_takeover")),
        **suite("deflate-c", quick, compressing(c, "no_context_takeover")),
        **suite("autobahn-php-all", [], compressing(php, "context_takeover"), **long),
        **suite("autobahn-c-all", [], compressing(c, "context_takeover"), **long),
    }


@dataclass
class Result:
    """How a suite went; what failed, a line each."""

    name: str
    passed: int
    failed: int
    failures: list[str]


class Run:
    """A suite that runs. What it leaves running is ended with it."""

    def __init__(self, name: str, suite: Suite):
        self.name, self.suite = name, suite
        self.log = LOGS / f"{name}.log"
        self.started = time.monotonic()
        self.process = None
        self.status: int | str | None = None
        with self.log.open("w") as output:
            try:
                self.process = subprocess.Popen(
                    suite.command,
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                self.status = f"cannot start: {error}"

    def has_ended(self) -> bool:
        """Then `status` is the exit status, or says in words why there is none."""
        if self.status is None:
            self.status = self.process.poll()
        if self.status is None and time.monotonic() - self.started > self.suite.seconds:
            self.status = f"ended after {self.suite.seconds} s"
        return self.status is not None

    def end(self) -> None:
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def report(self) -> Result:
        self.end()
        status, output = self.status, self.log.read_text(errors="replace")
        passed, failed = self.suite.count(output)
        if status != 0 or passed == 0:
            failed = max(failed, 1)
        print(f"{self.name}: {passed} passed, {failed} failed, {time.monotonic() - self.started:.0f} s", flush=True)
        failures = []
        if failed:
            ended = status if isinstance(status, str) else f"exit status {status}"
            print(f"  {ended}; what {self.log} says:")
            print("\n".join(f"  | {line}" for line in telling(output.splitlines())), flush=True)
            failures = [line.strip() for line in output.splitlines() if FAILURE.search(line)][:20] or [ended]
        return Result(self.name, passed, failed, failures)


def run(names: list[str], suites: dict[str, Suite], at_once: int) -> list[Result]:
    """Runs suites in this order, so many at once, and says of each how it went when it has ended."""
    waiting, running, results = names[::-1], [], []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                name = waiting.pop()
                running.append(Run(name, suites[name]))
            for ended in [run for run in running if run.has_ended()]:
                running.remove(ended)
                results.append(ended.report())
            time.sleep(0.02)
    finally:
        for left in running:
            left.end()
    return results


def telling(lines: list[str]) -> list[str]:
    """Each line that names a failure with those that follow it, and the end."""
    near = {n + after for n, line in enumerate(lines) if FAILURE.search(line) for after in range(15)}
    return [line for n, line in enumerate(lines) if n in near or n >= len(lines) - 40][-400:]


def total(pattern: str, output: str) -> int:
    return sum(int(number) for number in re.findall(pattern, output, re.MULTILINE))


def count_line(output: str) -> Counts:
    """The form our own runners print: `name: 3 passed, 0 failed`."""
    return total(r"\b(\d+) passed, \d+ failed$", output), total(r"\b\d+ passed, (\d+) failed$", output)


def count_cargo(output: str) -> Counts:
    result = r"^test result: .*? "
    return total(result + r"(\d+) passed", output), total(result + r"(\d+) failed", output)


def count_php(output: str) -> Counts:
    """Two runners: PHP's own of .phpt files, then PHPUnit."""
    passed = total(r"^Tests passed *: +(\d+)", output) + total(r"^OK \((\d+) tests?,", output)
    failed = total(r"^(?:Tests (?:skipped|warned|failed|borked|leaked)|Expected fail) *: +(\d+)", output)
    if ran := total(r"^Tests: (\d+)", output):
        bad = total(r"\b(?:Errors|Failures|Warnings|Skipped|Incomplete|Risky): (\d+)", output)
        passed, failed = passed + max(ran - bad, 0), failed + bad
    return passed, failed


def count_unittest(output: str) -> Counts:
    bad = total(r"^FAILED \(.*?failures=(\d+)", output) + total(r"^FAILED \(.*?errors=(\d+)", output)
    bad += total(r"^(?:OK|FAILED) \(.*?(?:skipped|expected failures)=(\d+)", output)
    return max(total(r"^Ran (\d+) tests?", output) - bad, 0), bad


if __name__ == "__main__":
    sys.exit(main())
