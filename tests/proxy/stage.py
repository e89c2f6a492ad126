"""Who plays: the host (peer.php), a proxy with the configuration that is shipped, and a client."""

import getpass
import grp
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/interop"))
from certificates import certificates  # noqa: E402 # it lies in another folder

EXTENSION = os.environ.get("PHP_EXTENSION", str(ROOT / "target/release/libwsengine_php.so"))
SECONDS = 20
MEBIBYTE = 1 << 20

# Proxies run as nobody where the tests run as root. This group may use the server's unix socket.
AS_ROOT = os.geteuid() == 0
USER = "nobody" if AS_ROOT else getpass.getuser()
GROUP = "nogroup" if AS_ROOT else grp.getgrgid(os.getgid()).gr_name


def wait_for(what, find, seconds=SECONDS):
    """What `find` gives as soon as it is true; `what` says what was waited for in vain."""
    end = time.monotonic() + seconds
    while not (found := find()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what() if callable(what) else what}")
        time.sleep(0.01)
    return found


def free_port(address="127.0.0.1"):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as taken:
        taken.bind((address, 0))
        return taken.getsockname()[1]


class Process:
    """A child whose console is kept."""

    def __init__(self, command, **options):
        self.console = ""
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, **options,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.console += line

    def says(self, pattern):
        """Waits for a match in the console."""
        return wait_for(
            lambda: f"{pattern!r} in:\n{self.console}",
            lambda: self.running() and re.search(pattern, self.console),
        )

    def running(self):
        if self.process.poll() is not None:
            self.reader.join(SECONDS)
            raise AssertionError(f"{self.process.args[0]} has ended:\n{self.console}")
        return True

    def stop(self):
        """Ends it by SIGTERM, if it still runs."""
        self.process.terminate()
        try:
            self.process.wait(SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
            self.reader.join(SECONDS)
            self.process.stdout.close()


class Host(Process):
    """peer.php with these options, and with its `addresses`."""

    def __init__(self, listen, **options):
        script = Path(__file__).with_name("peer.php")
        settings = [f"{name}={value}" for name, value in {"listen": listen, **options}.items()]
        super().__init__(["php", "-q", "-d", f"extension={EXTENSION}", script, *settings])
        try:
            self.says("(listening on .*\n){%d}" % (1 + listen.count(",")))
        except AssertionError:
            self.stop()
            raise
        self.addresses = re.findall("listening on (.*)\n", self.console)

    def port(self, number=0):
        return int(self.addresses[number].rpartition(":")[2])


class Stage:
    """A folder that the proxy's user may read, and what runs from there. All ends with `close`."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="wsengine-proxy-"))
        self.folder.chmod(0o755)
        self.running = []

    def run(self, process):
        self.running.append(process)
        return process

    def close(self):
        for process in reversed(self.running):
            process.stop()
        shutil.rmtree(self.folder)

    def file(self, name, text):
        """A file that the proxy's user owns."""
        path = self.folder / name
        path.write_text(text)
        if AS_ROOT:
            shutil.chown(path, USER, GROUP)
        return path

    def directory(self, name):
        path = self.folder / name
        path.mkdir()
        if AS_ROOT:
            shutil.chown(path, USER, GROUP)
        return path

    def shipped(self, name, values):
        """A configuration of examples/proxy with other values in the place of those that are a site's own."""
        text = (ROOT / "examples/proxy" / name).read_text()
        for example, ours in values.items():
            if example not in text:
                raise AssertionError(f"examples/proxy/{name} has no {example!r}")
            text = text.replace(example, str(ours))
        return self.file(name, text)

    def proxy(self, command, ports):
        """Runs a proxy and waits until it listens at all of them."""
        program = shutil.which(command[0], path=os.environ["PATH"] + ":/usr/sbin")
        if program is None:
            raise AssertionError(f"{command[0]} is not installed: scripts/setup.sh test")
        identity = {"user": USER, "group": GROUP, "extra_groups": []} if AS_ROOT else {}
        process = self.run(Process([program, *command[1:]], cwd=self.folder, **identity))
        for address in ports:
            wait_for(f"{command[0]} at {address}", lambda: process.running() and listens(address))
        return process


def listens(address):
    try:
        socket.create_connection(address, SECONDS).close()
        return True
    except ConnectionRefusedError:
        return False


class Client(ClientConnection):
    """A connection that counts the pings it answers."""

    pings = 0

    def process_event(self, event):
        if isinstance(event, Frame) and event.opcode is Opcode.PING:
            self.pings += 1
        super().process_event(event)

    def ask(self, message):
        self.send(message)
        return self.recv(timeout=SECONDS)

    def who(self):
        return json.loads(self.ask("who"))


def client(address, path="/", source="127.0.0.1", tls=False, first=b"", **options):
    """A client at the address `source`; `first` is sent before all else. It sends no pings by itself."""
    connected = socket.create_connection(address, SECONDS, (source, 0))
    try:
        connected.sendall(first)
        options["ssl"] = ssl.create_default_context(cafile=certificates().authority) if tls else None
        return connect(
            f"{'wss' if tls else 'ws'}://localhost{path}", sock=connected, create_connection=Client,
            legacy=True, proxy=None, ping_interval=None, max_size=MEBIBYTE, open_timeout=SECONDS,
            close_timeout=SECONDS, **options,
        )
    except BaseException:
        connected.close()
        raise


def http(address, path, tls=False):
    """The whole answer to a GET."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    stream = socket.create_connection(address, SECONDS)
    if tls:
        stream = ssl.create_default_context(cafile=certificates().authority).wrap_socket(
            stream, server_hostname="localhost"
        )
    with stream, stream.makefile("rb") as answer:
        stream.sendall(request.encode())
        return answer.read().decode()
