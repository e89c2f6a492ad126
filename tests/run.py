#!/usr/bin/env python3
"""Runs the test suites and sums their counts: tests/run.py [SUITE...], a pattern such as 'autobahn-*' too.

Without arguments it runs all but the few that take minutes.

Expects what `make build` builds. A suite's output goes to target/test-logs and is shown when it
fails. A suite that cannot run, skips a test or runs none has failed. The last line is the sum.
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

Counts = tuple[int, int]


@dataclass
class Suite:
    """A command, how to read its counts, how long it may take, and whether it runs without being named."""

    command: list[str]
    count: Callable[[str], Counts]
    seconds: int = 300
    by_default: bool = True


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
    results = [run(name, suites[name]) for name in names]
    passed = sum(result[0] for result in results)
    failed = sum(result[1] for result in results)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def all_suites() -> dict[str, Suite]:
    unittest = [sys.executable, "-m", "unittest", "discover"]
    return {
        # Tests in the extension's crate would need a PHP around them; its tests are the suite "php".
        "cargo": Suite(
            ["cargo", "test", "--workspace", "--exclude", "wsengine-php", "--locked", "--no-fail-fast"],
            count_cargo,
            seconds=900,
        ),
        "c": Suite(["capi/tests/run.sh"], count_line, seconds=600),
        "c-asan": Suite(["capi/tests/run.sh", "asan"], count_line, seconds=900),
        "c-tsan": Suite(["capi/tests/run.sh", "tsan"], count_line, seconds=900),
        "engine-asan": Suite(["engine/tests/sanitized.sh", "address"], count_cargo, seconds=1800, by_default=False),
        "engine-tsan": Suite(["engine/tests/sanitized.sh", "thread"], count_cargo, seconds=3600, by_default=False),
        "fuzz": Suite(["scripts/fuzz.sh", "10"], count_line, seconds=900),
        "abi": Suite([*unittest, "tests/abi"], count_unittest),
        "php": Suite(["php-ext/tests/run.sh"], count_php),
        "hostile": Suite([sys.executable, "tests/hostile/run.py", "--seconds", "1"], count_line),
        "install": Suite([*unittest, "tests/install"], count_unittest, seconds=600),
        "interfaces": Suite([*unittest, "tests/interfaces"], count_unittest),
        "endurance": Suite([sys.executable, "tests/endurance/run.py"], count_line),
        "browser": Suite([*unittest, "tests/browser"], count_unittest),
        "legacy": Suite([str(PYTHON), *unittest[1:], "tests/legacy"], count_unittest),
        "interop": Suite([str(PYTHON), *unittest[1:], "tests/interop"], count_unittest),
        "proxy": Suite([str(PYTHON), *unittest[1:], "tests/proxy"], count_unittest),
        "bench": Suite([*unittest, "bench"], count_unittest),
        **autobahn(),
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


def run(name: str, suite: Suite) -> Counts:
    log = LOGS / f"{name}.log"
    started = time.monotonic()
    status = execute(suite, log)
    output = log.read_text(errors="replace")
    passed, failed = suite.count(output)
    if status != 0 or passed == 0:
        failed = max(failed, 1)
    print(f"{name}: {passed} passed, {failed} failed, {time.monotonic() - started:.0f} s", flush=True)
    if failed:
        print(f"  {status if isinstance(status, str) else f'exit status {status}'}; what {log} says:")
        print("\n".join(f"  | {line}" for line in telling(output.splitlines())), flush=True)
    return passed, failed


def telling(lines: list[str]) -> list[str]:
    """Each line that names a failure with those that follow it, and the end."""
    near = {n + after for n, line in enumerate(lines) if re.search(r"FAIL|panicked at", line) for after in range(15)}
    return [line for n, line in enumerate(lines) if n in near or n >= len(lines) - 40][-400:]


def execute(suite: Suite, log: Path) -> int | str:
    """The exit status, or in words why there is none. What a suite leaves running is ended."""
    with log.open("w") as output:
        try:
            process = subprocess.Popen(
                suite.command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return f"cannot start: {error}"
        try:
            return process.wait(suite.seconds)
        except subprocess.TimeoutExpired:
            return f"ended after {suite.seconds} s"
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


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
