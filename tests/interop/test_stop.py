"""SIGTERM under load loses nothing: what the server's program was told is accepted reaches a client that reads, before the
close frame. The program counts what was accepted, the clients what comes."""

import selectors
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest
from collections import Counter
from pathlib import Path

from matrix import EXTENSION, SECONDS, compile_c
from test_activation import REQUEST

CLIENTS = 200
ROUNDS = 4
# What stop.c does, but for the threads: a script answers, three times each message.
SCRIPT = """
pcntl_async_signals(true);
pcntl_signal(SIGTERM, fn () => ws_server_stop());
echo ws_server_start(['listen' => '127.0.0.1:0', 'io_threads' => 2])->address, "\\n";
$accepted = [];
while (true) {
    foreach (ws_poll_events(256) as $event) {
        if ($event->type === WsEngine\\Event::OPEN) {
            $accepted[$event->conn] = [0, 0, 0];
        } elseif ($event->type === WsEngine\\Event::MESSAGE) {
            foreach ($accepted[$event->conn] as $sender => $number) {
                $sent = ws_send($event->conn, pack('PVV', $event->conn, $sender, $number), true);
                $accepted[$event->conn][$sender] += (int) $sent;
            }
        } elseif ($event->type === WsEngine\\Event::STOPPED) {
            foreach ($accepted as $conn => $counts) { echo $conn, ' ', implode(' ', $counts), "\\n"; }
            exit;
        }
    }
}
"""
# A frame as the programs send it: its head, the connection, who sent it, and its number.
MESSAGE = struct.Struct("<2sQII")
HEAD = b"\x82\x10"
GOODBYE = b"\x88\x02\x03\xe9"
# Masked by zeros: some messages, and the answer to the goodbye.
TALK = b"\x82\x84\0\0\0\0talk" * 20
ANSWER = b"\x88\x82\0\0\0\0\x03\xe9"


class Client:
    """Sends all the time and reads what there is, until the server says goodbye and ends the connection."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, SECONDS)
        self.socket.sendall(REQUEST)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.socket.recv(1)
        self.socket.setblocking(False)
        self.got = bytearray()
        self.going = b""
        self.answered = False

    def has_goodbye(self):
        return len(self.got) % MESSAGE.size == len(GOODBYE) and self.got.endswith(GOODBYE)

    def serve(self, events):
        """False at the end."""
        if events & selectors.EVENT_READ:
            data = self.socket.recv(1 << 18)
            self.got += data
            if not data:
                return False
        if events & selectors.EVENT_WRITE and not self.answered:
            if not self.going:
                self.answered = self.has_goodbye()
                self.going = ANSWER if self.answered else TALK
            self.going = self.going[self.socket.send(self.going) :]
        return True

    def counts(self):
        """How many came from each sender before the goodbye, by the number of this connection; all in order."""
        if not self.has_goodbye():
            raise AssertionError(f"ended with {bytes(self.got[-8:])} after {len(self.got)} bytes")
        conns, counts = set(), Counter()
        for head, conn, sender, number in MESSAGE.iter_unpack(self.got[: -len(GOODBYE)]):
            if head != HEAD or number != counts[sender]:
                raise AssertionError(f"{head} with number {number} instead of {counts[sender]} from {sender}")
            counts[sender] += 1
            conns.add(conn)
        (conn,) = conns
        return conn, [counts[sender] for sender in range(3)]


class Stop(unittest.TestCase):
    def test_what_a_program_in_c_has_sent_arrives(self):
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder, "stop")
            compile_c(Path(__file__).with_name("stop.c"), program)
            self.rounds([program])

    def test_what_a_script_has_sent_arrives(self):
        self.rounds(["php", "-d", f"extension={EXTENSION}", "-r", SCRIPT])

    def rounds(self, command):
        in_flight = [self.round(command) for _ in range(ROUNDS)]
        # A program that just then has no processor has none in flight, and that is no fault of its.
        self.assertTrue(any(in_flight), "the load ended before the stop")

    def round(self, command):
        """How many were accepted that had not come when the signal was sent."""
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        clients = []
        try:
            host, port = server.stdout.readline().strip().split(":")
            for _ in range(CLIENTS):
                clients.append(Client((host, int(port))))
            at_signal = self.talk(clients, server)
            told, _ = server.communicate(timeout=SECONDS)
        finally:
            server.kill()
            server.communicate()
            for client in clients:
                client.socket.close()
        self.assertEqual(server.returncode, 0)
        accepted = {conn: counts for conn, *counts in (map(int, line.split()) for line in told.splitlines())}
        self.assertEqual(dict(client.counts() for client in clients), accepted)
        return sum(map(sum, accepted.values())) - at_signal

    def talk(self, clients, server):
        """Until all have ended; the signal comes when each has heard something. How much all had heard by then."""
        at_signal = None
        deadline = time.monotonic() + SECONDS
        with selectors.DefaultSelector() as selector:
            for client in clients:
                selector.register(client.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, client)
            while selector.get_map():
                self.assertLess(time.monotonic(), deadline, "the connections do not end")
                for key, events in selector.select(1):
                    if not key.data.serve(events):
                        selector.unregister(key.fileobj)
                if at_signal is None and all(client.got for client in clients):
                    at_signal = sum(len(client.got) for client in clients) // MESSAGE.size
                    server.send_signal(signal.SIGTERM)
        return at_signal


if __name__ == "__main__":
    unittest.main()
