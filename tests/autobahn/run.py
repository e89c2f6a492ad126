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

# Section and its number of cases: a client that quietly runs fewer proves nothing.
# 8 does not exist; 12 and 13 are compression.
SECTIONS = {1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 37, 9: 54, 10: 1}
STRICT = {"OK", "INFORMATIONAL"}
START_SECONDS = 30
STOP_SECONDS = 5
RUN_SECONDS = 300


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", default="autobahn", help="names the line of counts and the report")
    parser.add_argument("--sections", type=int, nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("command", nargs=argparse.REMAINDER, help="-- and the echo server's command")
    arguments = parser.parse_args()
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        parser.error("name the echo server's command after --")

    report = ROOT / "target/autobahn" / arguments.name
    report.mkdir(parents=True, exist_ok=True)
    (report / "index.json").unlink(missing_ok=True)

    server = Server(command, report / "server.log")
    try:
        run_cases(server.wait_for_address(), arguments.sections, report)
    finally:
        stopped = server.stop()
    failures, passed = judge(report / "index.json", arguments.sections)
    if not stopped:
        failures.append(f"the server did not end within {STOP_SECONDS} s of SIGTERM")
    for failure in failures:
        print(f"  {failure}")
    if failures:
        print(f"  the report: {report}")
    print(f"{arguments.name}: {passed} passed, {len(failures)} failed")
    return 1 if failures else 0


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


def run_cases(address: str, sections: list[int], report: Path) -> None:
    globs = [word for section in sections for word in ("-i", f"{section}.*")]
    with (report / "client.log").open("w") as log:
        # Its exit status says nothing about the cases: the report does.
        subprocess.run(
            [KOSOKU, "-p", "4", "-o", report, *globs, address],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=RUN_SECONDS,
            check=False,
        )


def judge(index: Path, sections: list[int]) -> tuple[list[str], int]:
    """The failures in words, and the number of strict passes."""
    if not index.exists():
        return [f"no report: see {index.with_name('client.log')}"], 0
    agents = json.loads(index.read_text()).values()
    cases = {case: result for agent in agents for case, result in agent.items()}
    failures = [
        f"case {case}: {result['behavior']}, close {result['behaviorClose']}"
        for case, result in cases.items()
        if not {result["behavior"], result["behaviorClose"]} <= STRICT
    ]
    passed = len(cases) - len(failures)
    for section in sections:
        ran = sum(case.startswith(f"{section}.") for case in cases)
        if ran != SECTIONS[section]:
            failures.append(f"section {section}: {ran} cases ran, not {SECTIONS[section]}")
    return failures, passed


if __name__ == "__main__":
    sys.exit(main())
