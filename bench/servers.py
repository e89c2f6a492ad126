"""The servers that are compared, and how one is started, found and stopped.

A new peer is one more file in peers/, in C, JavaScript or Rust. A line of the comment at its beginning shows how it is
called, `NAME echo|broadcast          prints "listening on 127.0.0.1:PORT"`: echo, broadcast or both, and each further word
is a server by itself that echoes. What a program in C is compiled with says a line that begins with `cc:`.
"""

import os
import re
import signal
import subprocess
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from cells import OTHER_TOPICS

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
EXTENSION = TARGET / "release" / "libwsengine_php.so"
C_LIBRARY = TARGET / "release" / "libwsengine.a"
CERTIFICATE, KEY = TARGET / "bench/certificate.pem", TARGET / "bench/key.pem"

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
    sources: tuple[tuple[Path, tuple[str, ...]], ...] = ()

    def missing(self):
        """What keeps it from being measured, in words: files that are not built, programs that do not compile."""
        absent = [f"not built: {path}" for path in self.needs if not path.exists()]
        return absent or [fault for source, flags in self.sources for fault in compile_c(source, flags)]


def compile_c(source, flags):
    """Compiles a program in C if it is newer than what is there; cargo and make build everything else."""
    program = binary(source)
    needed = [source, *(Path(flag) for flag in flags if flag.startswith("/"))]
    if not all(path.exists() for path in needed):
        return [f"not there: {path}" for path in needed if not path.exists()]
    if program.exists() and program.stat().st_mtime > max(path.stat().st_mtime for path in needed):
        return []
    program.parent.mkdir(parents=True, exist_ok=True)
    command = ["cc", "-std=c11", "-O2", f"-I{ROOT / 'include'}", "-o", program, source, *flags]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    return [f"{source} does not compile:\n{done.stderr}"] if done.returncode != 0 else []


def binary(source):
    return TARGET / "bench" / source.stem


def make_certificate():
    """A certificate for 127.0.0.1 that signs itself, anew for each run."""
    CERTIFICATE.parent.mkdir(parents=True, exist_ok=True)
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    # Without the last word it would be a CA's, which clients take from no server.
    command += ["-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
    command += ["-keyout", KEY, "-out", CERTIFICATE]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"openssl makes no certificate:\n{done.stderr}")


def ours_in_c(source):
    return source, (str(C_LIBRARY), "-lpthread", "-ldl", "-lm")


def php(script):
    return ["php", "-q", "-d", f"extension={EXTENSION}", str(script), "127.0.0.1", "0", "1"]


def peers_of(source):
    """The servers of a file in peers/."""
    text = source.read_text()
    usage = re.search(rf"\b{source.stem}(?:\.\w+)? ([a-z|]+) +prints", text)
    flags = re.search(r"\bcc: (.*)", text)
    if source.suffix == ".c":
        command = [str(binary(source))]
        compiled = ((source, tuple(flags[1].format(tools=TOOLS).split()) if flags else ()),)
        needs = ()
    elif source.suffix == ".js":
        command, compiled, needs = ["node", str(source)], (), (Path("/usr/bin/node"), Path("/usr/share/nodejs/ws"))
    else:
        program = TARGET / "bench/peers/release" / source.stem
        command, compiled, needs = [str(program)], (), (program,)
    modes = usage[1].split("|")
    common = [mode for mode in modes if mode in ("echo", "broadcast")]
    servers = [Server(source.stem, {mode: [*command, mode] for mode in common}, needs, compiled)]
    return servers + [
        Server(mode, {"echo": [*command, mode]}, needs, compiled) for mode in modes if mode not in common
    ]


PEERS = ROOT / "bench/peers"
TOOLS = TARGET / "bench/socketify"
PHP_ECHO = ROOT / "examples/php/echo/server.php"
PHP_BROADCAST = ROOT / "bench/programs/broadcast.php"
C_ECHO = ROOT / "examples/c/echo.c"
C_BROADCAST = ROOT / "bench/programs/broadcast.c"


def echoes(command):
    """The programs that an echo server of ours is with other options."""
    tls = ["listen=tls://127.0.0.1:0", f"tls_cert={CERTIFICATE}", f"tls_key={KEY}"]
    return {
        "echo": command,
        "echo tls": [*command, *tls],
        "echo deflate": [*command, "compression=no_context_takeover"],
    }


OURS = [
    Server(
        "c",
        {
            **echoes([str(binary(C_ECHO)), "127.0.0.1:0", "1"]),
            **{f"echo {threads}": [str(binary(C_ECHO)), "127.0.0.1:0", f"io_threads={threads}"] for threads in (1, 2, 4)},
            "broadcast": [str(binary(C_BROADCAST)), "127.0.0.1:0", "1"],
            "timed broadcast": [str(binary(C_BROADCAST)), "127.0.0.1:0", "1"],
            "timed publish": [str(binary(C_BROADCAST)), "127.0.0.1:0", "1", "topic"],
            "timed publish among others": [str(binary(C_BROADCAST)), "127.0.0.1:0", "1", "topic", str(OTHER_TOPICS)],
        },
        sources=(ours_in_c(C_ECHO), ours_in_c(C_BROADCAST)),
    ),
    Server(
        "php",
        {**echoes(php(PHP_ECHO)), "broadcast": php(PHP_BROADCAST)},
        needs=(EXTENSION, PHP_ECHO),
    ),
]
# What all others are divided by comes first.
OTHERS = [server for source in sorted(PEERS.rglob("*.*")) if source.suffix in (".c", ".js", ".rs") for server in peers_of(source)]
SERVERS = sorted([*OURS, *OTHERS], key=lambda server: (["floor", "hop", "codec", "c", "php"] + [server.name]).index(server.name))


class Running:
    """A started server: `with Running(command, cpus) as server` gives its `address` and `pid`."""

    def __init__(self, command, cpus):
        self._port = None
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

    def figures(self):
        """What the server has measured itself: its lines "figure NAME VALUE", once it has ended."""
        words = [line.split() for line in self._lines if line.startswith("figure ")]
        return {name: float(value) for _, name, value in words}

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
        self._listening.wait(START_TIMEOUT)
        if self._port is None or self._process.poll() is not None:
            raise Failure(f"the server does not listen; it said:{self.said() or ' nothing'}")
