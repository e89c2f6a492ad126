"""Socket activation as systemd does it (sd_listen_fds(3)): the server is started with sockets that listen already,
and clients that came before it are served."""

import os
import socket
import subprocess
import unittest

from matrix import FACES, ROOT, SECONDS

# Sockets at 3 and 4, and the number of the very process that is to use them.
START = 'exec 3<&"$1" 4<&"$2"; shift 2; export LISTEN_FDS=2 LISTEN_PID=$$; exec "$@"'
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
# The text "hi" in a frame whose mask is zero, and as it comes back.
FRAME, ECHO = b"\x81\x82\0\0\0\0hi", b"\x81\x02hi"


def listening():
    return [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]


def start(face, sockets):
    numbers = [sock.fileno() for sock in sockets]
    command = ["bash", "-c", START, "start", *map(str, numbers), *FACES[face], "listen=systemd"]
    return subprocess.Popen(
        command, cwd=ROOT, pass_fds=numbers, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )


def read(client, size):
    data = b""
    while len(data) < size:
        more = client.recv(size - len(data))
        if not more:
            break
        data += more
    return data


class Activation(unittest.TestCase):
    def test_clients_that_came_before_the_server_are_served(self):
        for face in FACES:
            with self.subTest(face):
                self.serve(face)

    def serve(self, face):
        sockets = listening()
        clients = [socket.create_connection(sock.getsockname(), SECONDS) for sock in sockets]
        for client in clients:
            client.sendall(REQUEST + FRAME)
        server = start(face, sockets)
        try:
            addresses = [f"127.0.0.1:{sock.getsockname()[1]}" for sock in sockets]
            said = [server.stdout.readline().strip() for _ in addresses]
            self.assertEqual(said, [f"listening on {address}" for address in addresses])
            for client in clients:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += read(client, 1)
                self.assertTrue(head.startswith(b"HTTP/1.1 101 "), head)
                self.assertEqual(read(client, len(ECHO)), ECHO)
        finally:
            server.terminate()
            server.communicate(timeout=SECONDS)
            for sock in [*clients, *sockets]:
                sock.close()

    def test_sockets_for_another_process_are_not_taken(self):
        sockets = listening()
        environment = {**os.environ, "LISTEN_FDS": "2", "LISTEN_PID": "1"}
        server = subprocess.run(
            [*FACES["c"], "listen=systemd"], cwd=ROOT, env=environment, capture_output=True, text=True,
            timeout=SECONDS,
        )
        for sock in sockets:
            sock.close()
        self.assertEqual(server.returncode, 1)
        self.assertIn("systemd has announced no sockets to this process", server.stderr)


if __name__ == "__main__":
    unittest.main()
