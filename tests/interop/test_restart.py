"""Restarts that no client sees but by the close code 1001: the sockets stay open in whoever starts the server, the new
server comes before the old one goes or after it, and no attempt to connect fails meanwhile."""

import socket
import threading
import time
import unittest

from matrix import FACES, SECONDS
from test_activation import ECHO, FRAME, REQUEST, listening, read, start

RESTARTS = 4
# A server that stops waits a little longer for the requests of those who have connected.
PROMPT = 0.2
GOODBYE = b"\x88\x02\x03\xe9"
TOO_LATE = "this process was put aside before it had asked"


class Visitors:
    """Threads that connect, say hi and go, again and again."""

    def __init__(self, address, count=4):
        self.address = address
        self.over = threading.Event()
        self.failed = []
        self.served = self.sent_away = 0
        self.changed = threading.Condition()
        self.threads = [threading.Thread(target=self.visit) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def visit(self):
        while not self.over.is_set():
            try:
                outcome = self.once()
            except OSError as error:
                outcome = f"{type(error).__name__}: {error}"
            with self.changed:
                if outcome == ECHO:
                    self.served += 1
                elif outcome == GOODBYE:
                    self.sent_away += 1
                elif outcome != TOO_LATE:
                    self.failed.append(outcome)
                self.changed.notify()

    def once(self):
        begin = time.monotonic()
        with socket.create_connection(self.address, SECONDS) as client:
            client.sendall(REQUEST)
            is_prompt = time.monotonic() - begin < PROMPT
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                byte = client.recv(1)
                if not byte:
                    return f"no answer but {head!r}" if is_prompt else TOO_LATE
                head += byte
            if not head.startswith(b"HTTP/1.1 101 "):
                return head
            client.sendall(FRAME)
            return read(client, len(ECHO))

    def wait_for(self, more):
        """Until so many more have been served, or one has not."""
        with self.changed:
            enough = self.served + more
            self.changed.wait_for(lambda: self.served >= enough or self.failed, SECONDS)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


class Restart(unittest.TestCase):
    def test_no_attempt_to_connect_fails(self):
        for face in FACES:
            for overlap in True, False:
                with self.subTest(face, overlap=overlap):
                    self.restart(face, overlap)

    def restart(self, face, overlap):
        sockets = listening()
        server = self.begin(face, sockets)
        visitors = Visitors(sockets[0].getsockname())
        try:
            for _ in range(RESTARTS):
                visitors.wait_for(50)
                old = server
                if overlap:
                    server = self.begin(face, sockets)
                old.terminate()
                old.communicate(timeout=SECONDS)
                if not overlap:
                    server = self.begin(face, sockets)
        finally:
            visitors.end()
            server.terminate()
            server.communicate(timeout=SECONDS)
            for sock in sockets:
                sock.close()
        self.assertEqual(visitors.failed, [])
        self.assertGreater(visitors.served, RESTARTS * 50)

    def begin(self, face, sockets):
        """A server that listens."""
        server = start(face, sockets)
        for _ in sockets:
            self.assertIn("listening on", server.stdout.readline())
        return server


if __name__ == "__main__":
    unittest.main()
