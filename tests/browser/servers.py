"""The example servers, as a user starts them: php -q server.php ADDRESS PORT."""

import os
import re
import signal
import socket
import subprocess
import threading
from pathlib import Path

from webdriver import wait_for

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "php"
EXTENSION = os.environ.get("PHP_EXTENSION", str(ROOT / "target" / "release" / "libwsengine_php.so"))
PHP = os.environ.get("PHP", "php")


def command(example, *arguments, settings=()):
    return [*php(settings), str(EXAMPLES / example / "server.php"), *map(str, arguments)]


def php(settings=()):
    return [PHP, "-q", *(part for setting in (f"extension={EXTENSION}", *settings) for part in ("-d", setting))]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A running example, or a script in its folder; `lines` grows with its console."""

    # What it prints when it listens, with the port.
    READY = r"http://\S+|listening on \S+"

    def __init__(self, example, port=0, *arguments, address="127.0.0.1", settings=(), script=None, stdin=None):
        started = command(example, address, port, *arguments, settings=settings)
        self.process = subprocess.Popen(
            [*php(settings), "-r", script] if script else started,
            cwd=EXAMPLES / example,
            stdin=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        try:
            self.url = wait_for(lambda: self.says(self.READY) or self._ended(), f"{example} to print its address")
        except AssertionError:
            self.kill()
            raise
        self.port = int(re.search(r":(\d+)(?:/|$)", self.url)[1])

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def _ended(self):
        if self.process.poll() is not None:
            self.reader.join()
            raise AssertionError("the server ended at once:\n" + "\n".join(self.lines))

    def says(self, pattern):
        """The first match in the console so far, or None."""
        found = re.search(pattern, "\n".join(self.lines))
        return found and found[0]

    def awaits(self, pattern):
        """What a client sees may come before what the script says."""
        wait_for(lambda: self.says(pattern), f"{pattern!r} on the console")

    def terminate(self):
        """SIGTERM, as a service manager sends it; returns the exit status."""
        return self.end(signal.SIGTERM)

    def end(self, sent):
        self.process.send_signal(sent)
        return self._wait()

    def kill(self):
        """SIGKILL: no time for a goodbye."""
        if self.process.poll() is None:
            self.process.kill()
        return self._wait()

    def _wait(self):
        status = self.process.wait(10)
        self.reader.join(10)
        self.process.stdout.close()
        return status


class Script:
    """The script of an example that runs several processes on one port, less the building; `lines` grows with its console."""

    def __init__(self, *command, ready, count=1):
        """`command` has PORT where the port goes. It is ready when so many lines have the pattern."""
        # A port that was free a moment ago may be the one end of a connection by now.
        for _ in range(5):
            self._start(command)
            try:
                started = wait_for(lambda: self.count(ready) >= count or self._status(), f"{command[0]} to be ready")
            except AssertionError as error:
                self.end()
                raise AssertionError(f"{error}\n{''.join(self.lines)}") from error
            if started is True:
                return
            self.end()
        raise AssertionError("it does not start\n" + "".join(self.lines))

    def _start(self, command):
        self.port = free_port()
        self.process = subprocess.Popen(
            [str(self.port) if part == "PORT" else str(part) for part in command],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def _status(self):
        """Some word if the port was in use or it has ended."""
        return "in use" if self.count("in use") or self.process.poll() is not None else None

    def count(self, pattern):
        return sum(bool(re.search(pattern, line)) for line in self.lines)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)
        self.reader.join(5)
        self.process.stdout.close()
