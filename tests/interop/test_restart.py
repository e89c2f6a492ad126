"""Restarts that no client sees but by the close code 1001: no attempt to connect fails, whether the new server comes before
the old one goes or after it. The sockets stay open in whoever starts the server, or each server opens its own."""

import fcntl
import json
import multiprocessing
import os
import socket
import struct
import subprocess
import sys
import unittest
from pathlib import Path

from matrix import FACES, ROOT, SECONDS
from test_activation import ECHO, FRAME, REQUEST, listening, read, start

RESTARTS = 20
VISITORS = 4
GOODBYE = b"\x88\x02\x03\xe9"
# The system passes those who wait in the queue of a socket that is closed on to the others of its port.
MIGRATE = Path("/proc/sys/net/ipv4/tcp_migrate_req")
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
# Forked, visitors begin at once.
FORK = multiprocessing.get_context("fork")


class Visitors:
    """Processes that connect, say hi and go, again and again. As threads of one process they would wait for each other
    between connecting and asking, and a server that stops does not wait for long."""

    def __init__(self, address):
        self.address = address
        self.over = FORK.Event()
        self.changed = FORK.Condition()
        self.served = FORK.Value("i", lock=False)
        self.outcomes = FORK.SimpleQueue()
        self.processes = [FORK.Process(target=self.visit) for _ in range(VISITORS)]
        for process in self.processes:
            process.start()

    def visit(self):
        failed = []
        while not self.over.is_set():
            try:
                outcome = self.once()
            except OSError as error:
                outcome = f"{type(error).__name__}: {error}"
            with self.changed:
                if outcome == ECHO:
                    self.served.value += 1
                elif outcome != GOODBYE:
                    failed.append(str(outcome))
                self.changed.notify()
        self.outcomes.put(failed)

    def once(self):
        with socket.create_connection(self.address, SECONDS) as client:
            client.sendall(REQUEST)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = client.recv(1)
                if not byte:
                    return f"no answer but {head!r}"
                head += byte
            if not head.startswith(b"HTTP/1.1 101 "):
                return head
            client.sendall(FRAME)
            return read(client, len(ECHO))

    def wait_for(self, more):
        """Until so many more have been served."""
        with self.changed:
            enough = self.served.value + more
            if not self.changed.wait_for(lambda: self.served.value >= enough, SECONDS):
                raise AssertionError(f"only {self.served.value} were served, not {enough}")

    def end(self):
        """What failed."""
        self.over.set()
        failed = [outcome for _ in self.processes for outcome in self.outcomes.get()]
        for process in self.processes:
            process.join()
        return failed


class Inherited:
    """Servers that are given the same listening sockets."""

    def __init__(self, face):
        self.face = face
        self.sockets = listening()
        self.address = self.sockets[0].getsockname()

    def begin(self):
        return ready(start(self.face, self.sockets), len(self.sockets))

    def close(self):
        for sock in self.sockets:
            sock.close()


class ReusePort:
    """Servers that listen on one port, each by its own socket."""

    def __init__(self, face):
        self.face = face
        # It has the port, and does not listen.
        self.holder = socket.socket()
        self.holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.holder.bind(("127.0.0.1", 0))
        self.address = self.holder.getsockname()

    def begin(self):
        command = [*FACES[self.face], f"listen=127.0.0.1:{self.address[1]}?reuse_port"]
        server = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        return ready(server, 1)

    def close(self):
        self.holder.close()


def ready(server, listeners):
    for _ in range(listeners):
        line = server.stdout.readline()
        if "listening on" not in line:
            server.kill()
            raise AssertionError(f"the server does not listen: {line}{server.communicate()[0]}")
    return server


def restart(way, overlap):
    """What failed meanwhile, and how many were served."""
    server = way.begin()
    visitors = Visitors(way.address)
    try:
        for _ in range(RESTARTS):
            visitors.wait_for(50)
            old = server
            if overlap:
                server = way.begin()
            old.terminate()
            old.communicate(timeout=SECONDS)
            if not overlap:
                server = way.begin()
    finally:
        failed = visitors.end()
        server.terminate()
        server.communicate(timeout=SECONDS)
        way.close()
    return failed, visitors.served.value


def restart_in_own_network(face):
    """The setting is one for all programs of a network."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
    MIGRATE.write_text("1")
    return restart(ReusePort(face), overlap=True)


class Restart(unittest.TestCase):
    def test_no_attempt_to_connect_fails(self):
        for face in FACES:
            for overlap in True, False:
                with self.subTest(face, overlap=overlap):
                    self.judge(*restart(Inherited(face), overlap))

    def test_nor_with_a_socket_for_each_server(self):
        unshare = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
        allowed = subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL).returncode == 0
        for face in FACES:
            with self.subTest(face):
                if allowed:
                    command = [*unshare, sys.executable, __file__, face]
                    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=10 * SECONDS)
                    self.judge(*json.loads(done.stdout))
                else:
                    # Some containers have one network only. Without the setting the queue is reset, nothing else may fail.
                    failed, served = restart(ReusePort(face), overlap=True)
                    self.judge([what for what in failed if not what.startswith("ConnectionResetError")], served)

    def judge(self, failed, served):
        self.assertEqual(failed, [])
        self.assertGreater(served, RESTARTS * 50)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in FACES:
        print(json.dumps(restart_in_own_network(sys.argv[1])))
    else:
        unittest.main()
