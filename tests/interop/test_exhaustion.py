"""A machine that fails: no descriptors, no memory, a full disk, clocks that jump. The server says so and goes on."""

import mmap
import os
import resource
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest
from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM
from pathlib import Path

from matrix import ROOT, SECONDS
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

ECHO = [str(ROOT / "target/examples-c/echo"), "127.0.0.1:0"]
LOGGING = """
$server = ws_server_start(['listen' => '127.0.0.1:0', 'log_level' => 'debug']);
fwrite(STDOUT, $server->address . "\\n");
while ($event = ws_poll_event()) {
    if ($event->type === WsEngine\\Event::MESSAGE) { ws_send($event->conn, $event->data); }
}
"""
# It takes all descriptors that there are when it is told so.
GREEDY = """
$server = ws_server_start(['listen' => '127.0.0.1:0']);
fwrite(STDOUT, $server->address . "\\n");
$taken = [];
while ($event = ws_poll_event()) {
    if ($event->type === WsEngine\\Event::MESSAGE) {
        if ($event->data === 'take') { while ($file = @fopen('/dev/null', 'r')) { $taken[] = $file; } }
        if ($event->data === 'give') { $taken = []; }
        ws_send($event->conn, $event->data);
    }
}
"""
PHP = ["php", "-d", f"extension={ROOT / 'target/release/libwsengine_php.so'}", "-r"]
TEXT, BINARY, PING, PONG = 0x1, 0x2, 0x9, 0xA


class Faults:
    """What faults.c does."""

    NAMES = ("accept_errno", "eventfd_errno", "realtime_seconds", "monotonic_seconds")

    def __init__(self, folder):
        self.path = Path(folder, "faults")
        self.path.write_bytes(bytes(8 * len(self.NAMES)))
        with self.path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)
        self.library = Path(folder, "faults.so")
        source = Path(__file__).with_name("faults.c")
        subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-O1", source, "-o", self.library], check=True)

    def set(self, **values):
        for name, value in values.items():
            struct.pack_into("=q", self.memory, 8 * self.NAMES.index(name), value)

    def environment(self):
        return {**os.environ, "LD_PRELOAD": str(self.library), "FAULTS": str(self.path)}


class Exhaustion(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def start(self, command, **arguments):
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **arguments)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        address = server.stdout.readline().split()[-1]
        return server, f"ws://{address}"

    def client(self, url, **arguments):
        return self.enterContext(connect(url, proxy=None, **arguments))

    def echoes(self, client):
        client.send("hello")
        self.assertEqual(client.recv(SECONDS), "hello")

    def stops(self, server):
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(SECONDS), 0)

    def test_a_system_without_descriptors_or_memory_is_waited_for_without_haste(self):
        faults = Faults(self.folder)
        server, url = self.start(ECHO, env=faults.environment())
        before = self.client(url)
        for error in ENFILE, EMFILE, ENOMEM, ENOBUFS:
            with self.subTest(error=os.strerror(error)):
                faults.set(accept_errno=error)
                worked = cpu_seconds(server)
                with self.assertRaises(TimeoutError):
                    connect(url, proxy=None, open_timeout=1)
                self.assertLess(cpu_seconds(server) - worked, 0.5)
                self.echoes(before)
                faults.set(accept_errno=0)
                self.echoes(self.client(url))
        self.stops(server)

    def test_clients_hear_that_there_are_no_descriptors(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))  # noqa: E731
        _, url = self.start([*PHP, GREEDY], preexec_fn=limit, stderr=subprocess.DEVNULL)
        client = self.client(url)
        client.send("take")
        self.assertEqual(client.recv(SECONDS), "take")
        for _ in range(3):
            with self.assertRaises(InvalidStatus) as refused:
                connect(url, proxy=None)
            self.assertEqual(refused.exception.response.status_code, 503)
            self.echoes(client)
        client.send("give")
        self.assertEqual(client.recv(SECONDS), "give")
        self.echoes(self.client(url))

    def test_a_start_without_a_descriptor_to_wake_the_host_says_so(self):
        faults = Faults(self.folder)
        faults.set(eventfd_errno=EMFILE)
        done = subprocess.run(ECHO, env=faults.environment(), capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("Too many open files", done.stderr)

    def test_a_start_with_too_few_descriptors_says_so(self):
        works = []
        for most in range(5, 24):
            limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # noqa: B023, E731
            self.starts_or_says(limit, "Too many open files", works)
        self.assertIn(True, works)
        self.assertIn(False, works)

    def test_a_start_with_too_little_memory_for_threads_says_so(self):
        """A thread's stack takes address space, which the C library says with EAGAIN; its buffers take memory."""
        works = []
        # With less not even the libraries can be loaded.
        for mib in range(9, 48, 1):
            limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))  # noqa: B023, E731
            self.starts_or_says(limit, "(Resource temporarily unavailable|Cannot allocate memory)", works)
        self.assertIn(True, works)
        self.assertIn(False, works)

    def starts_or_says(self, limit, reason, works):
        server = subprocess.Popen(ECHO, preexec_fn=limit, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with server:
            works.append(server.stdout.readline().startswith("listening on "))
            if works[-1]:
                server.terminate()
            self.assertEqual(server.wait(SECONDS), 0 if works[-1] else 1)
            self.assertRegex(server.stderr.read(), "^$" if works[-1] else rf"^echo: .*{reason}")

    def test_a_full_disk_for_the_log_hurts_nobody(self):
        with open("/dev/full", "w") as full:
            server, url = self.start([*PHP, LOGGING], stderr=full)
        for _ in range(20):
            with connect(url, proxy=None) as client:
                self.echoes(client)
        self.assertIsNone(server.poll())

    def test_the_time_of_day_may_jump(self):
        faults = Faults(self.folder)
        command = [*ECHO, "ping_interval_ms=100", "pong_timeout_ms=10000", "idle_timeout_ms=60000"]
        server, url = self.start(command, env=faults.environment())
        client = self.client(url)
        for years in -30, 30, 0:
            faults.set(realtime_seconds=years * 365 * 86_400)
            for _ in range(5):
                time.sleep(0.1)
                self.echoes(client)
            self.echoes(self.client(url))
        self.stops(server)

    def test_a_machine_that_was_away_for_an_hour_holds_nobody_for_dead(self):
        """The clock of a virtual machine may jump ahead. A ping is due then, and time for its answer begins."""
        faults = Faults(self.folder)
        server, url = self.start(ECHO, env=faults.environment())
        clients = [self.client(url) for _ in range(20)]
        for hours in 1, 2, 24 * 365:
            faults.set(monotonic_seconds=hours * 3_600)
            for client in clients:
                self.echoes(client)
            self.echoes(self.client(url))
        self.stops(server)

    def test_a_process_that_was_stopped_holds_nobody_for_dead(self):
        """All its time limits are over when it goes on; but the answers of the peers lie in its sockets, more than it reads
        in one go, and those of some whose queues are full."""
        limits = ["ping_interval_ms=50", "pong_timeout_ms=5000", "write_stall_ms=5000"]
        server, url = self.start([*ECHO, "io_threads=1", *limits])
        peers = [self.enterContext(Peer(url)) for _ in range(400)]
        # At once, in the middle of its pings, and when it is idle.
        for pause in 0, 0.04:
            stalled = [self.enterContext(Peer(url, receive_bytes=4096)) for _ in range(4)]
            for peer in stalled:
                peer.send(BINARY, bytes(6 << 20))
            # On a busy machine all that took a while: let their time begin anew.
            for peer in peers:
                peer.send(PONG, peer.next(PING))
            pings = [peer.next(PING) for peer in peers]
            time.sleep(pause)
            server.send_signal(signal.SIGSTOP)
            for peer, payload in zip([*peers, *stalled], [*pings, *[b""] * len(stalled)]):
                peer.send(PONG, payload)
            time.sleep(5.3)
            server.send_signal(signal.SIGCONT)
            for peer in peers:
                peer.send(TEXT, b"hello")
                self.assertEqual(peer.next(TEXT), b"hello")
        self.stops(server)


class Peer:
    """One that answers pings when the test says so."""

    def __init__(self, url, receive_bytes=None):
        host, port = url.removeprefix("ws://").split(":")
        self.socket = socket.socket()
        self.socket.settimeout(SECONDS)
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect((host, int(port)))
        self.received = self.socket.makefile("rb")
        self.socket.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        while self.received.readline().strip():
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.received.close()
        self.socket.close()

    def send(self, opcode, payload):
        """A frame, masked with zeros."""
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xff" + struct.pack("!Q", len(payload))
        self.socket.sendall(bytes([0x80 | opcode]) + length + bytes(4) + payload)

    def next(self, wanted):
        """The payload of the next short frame with this opcode. What comes before it is left unanswered."""
        while True:
            header = self.received.read(2)
            if not header:
                raise EOFError("the server has closed the connection")
            opcode, length = header
            payload = self.received.read(length)
            if opcode & 0x0F == wanted:
                return payload


def cpu_seconds(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
