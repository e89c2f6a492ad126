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
EXTENSION = TARGET / "release" / "libwsengine_php.so"
C_LIBRARY = TARGET / "release" / "libwsengine.a"

START_TIMEOUT = 10
STOP_TIMEOUT = 5


class Failure(Exception):
    """A server or a measurement that did not do what it should, in words."""


@dataclass(frozen=True)
class Server:
    """A name in the table and the command of each program; what a server lacks is not measured."""

    name: str
    programs: dict[str, list[str]]
    needs: tuple[Path, ...] = ()
    sources: tuple[Path, ...] = ()

    def missing(self):
        """The files that are not built yet."""
        return [path for path in (*self.needs, *self.sources) if not path.exists()]

    def compile(self):
        """Compiles its C programs; cargo and make build everything else."""
        for source in self.sources:
            binary(source).parent.mkdir(parents=True, exist_ok=True)
            command = ["cc", "-std=c11", "-O2", f"-I{ROOT / 'include'}", "-o", binary(source), source]
            libraries = [need for need in self.needs if need.suffix == ".a"]
            if subprocess.run([*command, *libraries, "-lpthread", "-ldl", "-lm"]).returncode != 0:
                raise Failure(f"{source} does not compile")


def binary(source):
    return TARGET / "bench" / source.stem


def compiled(source, *arguments):
    return [str(binary(source)), *arguments]


def php(script):
    return ["php", "-q", "-d", f"extension={EXTENSION}", str(script), "127.0.0.1", "0", "1"]


FLOOR = ROOT / "bench/floor/floor.c"
PHP_ECHO = ROOT / "examples/php/echo/server.php"
PHP_BROADCAST = ROOT / "bench/programs/broadcast.php"
C_ECHO = ROOT / "examples/c/echo.c"
C_BROADCAST = ROOT / "bench/programs/broadcast.c"

SERVERS = [
    Server(
        "floor",
        {"echo": compiled(FLOOR, "echo"), "broadcast": compiled(FLOOR, "broadcast")},
        sources=(FLOOR,),
    ),
    Server(
        "php",
        {"echo": php(PHP_ECHO), "broadcast": php(PHP_BROADCAST)},
        needs=(EXTENSION, PHP_ECHO),
    ),
    Server(
        "c",
        {"echo": compiled(C_ECHO, "127.0.0.1:0", "1"), "broadcast": compiled(C_BROADCAST, "127.0.0.1:0", "1")},
        needs=(C_LIBRARY,),
        sources=(C_ECHO, C_BROADCAST),
    ),
]


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
