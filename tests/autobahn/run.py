#!/usr/bin/env python3
"""Runs Autobahn's cases against an echo server: tests/autobahn/run.py COMMAND...

The command starts the server and prints `listening on ADDRESS:PORT`. Only a strict pass counts: a
case is OK or INFORMATIONAL both in what the server said and in how it closed. The client is kosoku,
from the virtual environment that scripts/setup.sh makes.
"""

import argparse
import json
import queue
import re
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KOSOKU = ROOT / "target/venv/bin/kosoku"

# Section and its number of cases: a client that quietly runs fewer proves nothing. 8 and 11 do not exist.
# 12 and 13 are compression: the server needs it on, and a threshold of 0, since the client judges an answer
# that came uncompressed to be an error.
SECTIONS = {1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 37, 9: 54, 10: 1, 12: 90, 13: 126}
# 12 and 13 are groups of 18 cases each, 1000 messages a case. These are the small messages and one size cut
# into fragments; the others take minutes.
GROUPS = {12: 5, 13: 7}
QUICK = (1, 2, 3, 4, 11)
STRICT = {"OK", "INFORMATIONAL"}
# A case that is right, but answered later than it expects.
LATE = STRICT | {"NON-STRICT"}
START_SECONDS = 30
STOP_SECONDS = 5
RUN_SECONDS = 1200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", default="autobahn", help="names the line of counts and the report")
    parser.add_argument("--sections", type=int, nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="of 12 and 13 only some cases of each group")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and the echo server's command")
    arguments = parser.parse_args()
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        parser.error("name the echo server's command after --")

    selected = {section: select(section, arguments.quick) for section in arguments.sections}
    report = ROOT / "target/autobahn" / arguments.name
    report.mkdir(parents=True, exist_ok=True)

    server = Server(command, report / "server.log")
    try:
        globs = [glob for globs, _ in selected.values() for glob in globs]
        address = server.wait_for_address()
        cases = run_cases(address, globs, report)
        # What a case expects of an echo is expected within a second, and by the engine of its host, where a breach follows,
        # within a quarter: once the machine may have other things to do. What is wrong stays wrong.
        if late := [case for case, result in cases.items() if "NON-STRICT" in verdicts_of(result) <= LATE]:
            print(f"once more, for it was not strict: {', '.join(late)}")
            again = run_cases(address, late, report / "again")
            cases |= {case: again[case] for case in late if case in again}
    finally:
        stopped = server.stop()
    expected = {section: count for section, (_, count) in selected.items()}
    failures, passed = judge(cases, expected)
    if not cases:
        failures.append(f"FAILED no report: see {report / 'client.log'}")
    if not stopped:
        failures.append(f"FAILED the server did not end within {STOP_SECONDS} s of SIGTERM")
    for failure in sorted(failures):
        print(f"  {failure}")
    if failures:
        print(f"  the report: {report}")
    print(f"{arguments.name}: {passed} passed, {len(failures)} failed")
    return 1 if failures else 0


def select(section: int, quick: bool) -> tuple[list[str], int]:
    """The cases to run, by name or pattern, and how many they are."""
    if quick and section in GROUPS:
        # By their names: the client takes 12.*.1 for 12.1.10 as well.
        cases = [f"{section}.{group + 1}.{number}" for group in range(GROUPS[section]) for number in QUICK]
        return cases, len(cases)
    return [f"{section}.*"], SECTIONS[section]


class Server:
    """The echo server's process; its output goes to a log and is watched for the address."""

    def __init__(self, command: list[str], log: Path):
        self.log = log
        self.address: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        with self.log.open("w") as log:
            for line in self.process.stdout:
                log.write(line)
                log.flush()
                if found := re.search(r"listening on (\S+:\d+)", line):
                    self.address.put(found[1])
        self.address.put(None)

    def wait_for_address(self) -> str:
        try:
            address = self.address.get(timeout=START_SECONDS)
        except queue.Empty:
            address = None
        if address is None:
            sys.exit(f"the server printed no address:\n{self.log.read_text()}")
        return address

    def stop(self) -> bool:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
            return True
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False


def run_cases(address: str, globs: list[str], report: Path) -> dict[str, dict]:
    """The results by case; without a report none."""
    report.mkdir(exist_ok=True)
    index = report / "index.json"
    index.unlink(missing_ok=True)
    with (report / "client.log").open("w") as log:
        # Its exit status says nothing about the cases: the report does.
        subprocess.run(
            [KOSOKU, "-p", "4", "-o", report, *(word for glob in globs for word in ("-i", glob)), address],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=RUN_SECONDS,
            check=False,
        )
    agents = json.loads(index.read_text()).values() if index.exists() else []
    return {case: result for agent in agents for case, result in agent.items()}


def verdicts_of(result: dict) -> set[str]:
    return {result["behavior"], result["behaviorClose"]}


def judge(cases: dict[str, dict], expected: dict[int, int]) -> tuple[list[str], int]:
    """The failures in words, and the number of strict passes."""
    failures = []
    for case, result in cases.items():
        verdicts = verdicts_of(result)
        if not verdicts <= STRICT:
            word = "NON-STRICT" if verdicts <= LATE else "FAILED"
            failures.append(f"{word} case {case}: {result['behavior']}, close {result['behaviorClose']}")
    passed = len(cases) - len(failures)
    for section, count in expected.items():
        ran = sum(case.startswith(f"{section}.") for case in cases)
        if ran != count:
            failures.append(f"FAILED section {section}: {ran} cases ran, not {count}")
    return failures, passed


if __name__ == "__main__":
    sys.exit(main())
