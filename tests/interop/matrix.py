"""The matrix: each echo server, by each transport, with each kind of compression.

The tests of every client run in every row.
"""

import os
import subprocess
import sys
import unittest
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from certificates import certificates

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = os.environ.get("PHP_EXTENSION", str(ROOT / "target/release/libwsengine_php.so"))
PHP = ["php", "-q", "-d", f"extension={EXTENSION}", "examples/php/echo/server.php", "127.0.0.1", "0"]
FACES = {"php": PHP, "c": ["target/examples-c/echo", "127.0.0.1:0"]}
# How each ends on SIGTERM: the PHP script has no handler and dies by the signal.
ENDS = {"php": -15, "c": 0}

PLAIN, TLS = "127.0.0.1:0", "tls://127.0.0.1:0"
SIZES = [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20]
# Those that a client may send; the server answers with the same code.
CLOSES = [(1000, ""), (1000, "done"), (1001, "leaving"), (3000, "schöne Grüße"), (4999, "ж" * 61)]
SECONDS = 20


@dataclass(frozen=True)
class Row:
    face: str
    transport: str
    compression: str

    def __str__(self):
        return f"{self.face}_{self.transport}_{self.compression}"

    @property
    def options(self) -> list[str]:
        """What the server is told beside its defaults. Short messages too are compressed."""
        deflate = [f"compression={self.compression}", "compression_threshold_bytes=0"]
        listen = ["listen=" + TLS, *tls_options()]
        return [*(deflate if self.compressed else []), *(listen if self.transport == "tls" else [])]

    @property
    def compressed(self) -> bool:
        return self.compression != "off"


ROWS = [
    Row(face, transport, compression)
    for face in FACES
    for transport in ("plain", "tls")
    for compression in ("off", "no_context_takeover", "context_takeover")
]
COMPRESSED = [row for row in ROWS if row.compressed]


def compile_c(source: Path, program: str | Path):
    """A program of ours that uses the library."""
    library = ROOT / "target/release"
    command = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{ROOT / 'include'}", source]
    subprocess.run([*command, "-o", program, f"-L{library}", "-lwsengine", f"-Wl,-rpath,{library}"], check=True)


def tls_options() -> list[str]:
    return [f"tls_cert={certificates().server}", f"tls_key={certificates().key}"]


def in_rows(rows: Iterable[Row]):
    """Makes a test case of each row out of a class with tests: Echo becomes Echo_php_plain_off and so on."""

    def decorate(case: type) -> type:
        module = sys.modules[case.__module__]
        for row in rows:
            name = f"{case.__name__}_{row}"
            setattr(module, name, type(name, (case, RowTest), {"row": row, "__module__": case.__module__}))
        return case

    return decorate


class RowTest(unittest.TestCase):
    """Tests with an echo server of their row."""

    row: Row
    more_options: list[str] = []

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.row.face, *cls.row.options, *cls.more_options)
        cls.addClassCleanup(cls.server.stop)


class Server:
    """An echo server with its `addresses`. It must print nothing else, and end as it should."""

    def __init__(self, face: str, *options: str):
        self.face = face
        self.process = subprocess.Popen(
            [*FACES[face], *options], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )
        listen = next((option for option in reversed(options) if option.startswith("listen=")), "")
        self.addresses = []
        for _ in range(1 + listen.count(",")):
            line = self.process.stdout.readline()
            if not line.startswith("listening on "):
                self.process.kill()
                said = line + self.process.communicate()[0]
                raise AssertionError(f"the {face} server did not start with {options}: {said}")
            self.addresses.append(line.removeprefix("listening on ").strip())

    def url(self, scheme: str = "ws", number: int = 0) -> str:
        """Of an address: ws, or http; with TLS wss, or https."""
        address = self.addresses[number]
        if address.startswith("tls://"):
            return f"{scheme}s://" + address.removeprefix("tls://")
        return f"{scheme}://{address}"

    def port(self, number: int = 0) -> int:
        return int(self.addresses[number].rpartition(":")[2])

    def stop(self):
        """Ends it by SIGTERM, if it still runs, and looks at what it said."""
        if self.process.stdout.closed:
            return
        self.process.terminate()
        try:
            said, _ = self.process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            said, _ = self.process.communicate()
        if (self.process.returncode, said) != (ENDS[self.face], ""):
            status = self.process.returncode
            raise AssertionError(f"the {self.face} server ended with status {status} and said: {said}")


def text_of(size: int) -> str:
    """Text that is so many bytes in UTF-8, with characters of one to four of them."""
    pattern = "Grüße, 世界 👋 "
    text = (pattern.encode() * (size // len(pattern.encode()) + 1))[:size].decode(errors="ignore")
    return text + "x" * (size - len(text.encode()))
