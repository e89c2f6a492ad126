"""The servers that are compared, and how one is started, found and stopped.

A new peer is one more entry of SERVERS. Its programs print "listening on ADDRESS:PORT"; a program that
cannot is given a free port in place of "{port}", and is ready when it accepts a connection there.
"""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
FLOOR = TARGET / "bench" / "floor"
EXTENSION = TARGET / "release" / "libwsengine_php.so"
C_EXAMPLES = TARGET / "examples-c"

START_TIMEOUT = 10
STOP_TIMEOUT = 5


@dataclass(frozen=True)
class Server:
    """A name in the table and the command of each program; what a server lacks is not measured."""

    name: str
    programs: dict[str, list[str]]
    needs: tuple[Path, ...] = ()

    def missing(self):
        """The files that are not built yet."""
        return [path for path in self.needs if not path.exists()]


def php(script):
    return ["php", "-q", "-d", f"extension={EXTENSION}", str(ROOT / script), "127.0.0.1", "0", "1"]


SERVERS = [
    Server(
        "floor",
        {"echo": [str(FLOOR), "echo"], "broadcast": [str(FLOOR), "broadcast"]},
        (FLOOR,),
    ),
    Server(
        "php",
        {"echo": php("examples/php/echo/server.php"), "broadcast": php("bench/programs/broadcast.php")},
        (EXTENSION, ROOT / "examples/php/echo/server.php"),
    ),
    Server(
        "c",
        {"echo": [str(C_EXAMPLES / "echo"), "127.0.0.1", "0", "1"]},
        (C_EXAMPLES / "echo",),
    ),
]


class Failure(Exception):
    """A server or a measurement that did not do what it should, in words."""


class Running:
    """A started server: `with Running(command, cpus) as server` gives its `address` and `pid`."""

    def __init__(self, command, cpus):
        self._port = free_port() if "{port}" in command else None
        command = [word.format(port=self._port) if word == "{port}" else word for word in command]
        self._lines = deque(maxlen=20)
        self._listening = threading.Event()
        # Children inherit the CPUs of the thread that starts them.
        own_cpus = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cpus)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        except OSError as error:
            raise Failure(f"cannot start {command[0]}: {error}") from error
        finally:
            os.sched_setaffinity(0, own_cpus)
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(STOP_TIMEOUT)
        self._process.stdout.close()

    @property
    def address(self):
        return f"127.0.0.1:{self._port}"

    def said(self):
        """What the server printed last, for messages about its failure."""
        return "".join(f"\n    {line}" for line in self._lines)

    def _read(self):
        """Empties the pipe, so that no server waits for us, and picks up the port."""
        for line in self._process.stdout:
            self._lines.append(line.rstrip())
            if self._port is None and (match := re.search(r"listening on \S*:(\d+)", line)):
                self._port = int(match[1])
                self._listening.set()
        self._listening.set()

    def _wait(self):
        if self._port is None:
            self._listening.wait(START_TIMEOUT)
        else:
            self._wait_for_connection(time.monotonic() + START_TIMEOUT)
        if self._port is None or self._process.poll() is not None:
            raise Failure(f"the server does not listen; it said:{self.said() or ' nothing'}")

    def _wait_for_connection(self, deadline):
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            except OSError:
                time.sleep(0.02)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
