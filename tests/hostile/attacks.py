#!/usr/bin/env python3
"""What hostile peers do, one program each: attacks.py NAME PORT TLS_PORT SECONDS. It says what it has done.

They are as many and as fast as one processor allows, for so long, and never wait for the server: what it refuses,
closes or does not take is opened or sent anew.
"""

import json
import os
import random
import selectors
import socket
import ssl
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

WSLOAD = Path(__file__).resolve().parents[2] / "target/release/wsload"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
HANDSHAKE_RECORD = b"\x16"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(opcode, payload=b"", fin=True, compressed=False, declared=None):
    """With a mask of zeros, which is one. `declared`: a length that is not that of the payload."""
    length = len(payload) if declared is None else declared
    first = (0x80 if fin else 0) | (0x40 if compressed else 0) | opcode
    if length < 126:
        head = struct.pack("!BB", first, 0x80 | length)
    elif length < 1 << 16:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, length)
    return head + bytes(4) + payload


def bomb(size):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (packer.compress(bytes(size)) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


# Whose server it is does not matter to them.
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE


class Peers:
    """Sockets that send what a generator gives, each its own, and are opened anew when they have ended."""

    def __init__(self, port, count, script, reads=True, pause=0.0, window=None):
        self.address = ("127.0.0.1", port)
        self.script = script
        self.reads = reads
        self.pause = pause
        self.window = window
        self.opened = self.ended = self.sent = 0
        self.answers = Counter()
        self.selector = selectors.DefaultSelector()
        self.waiting = []
        for _ in range(count):
            self.open()

    def open(self):
        peer, script = self.connect()
        self.opened += 1
        events = selectors.EVENT_WRITE | (selectors.EVENT_READ if self.reads else 0)
        self.selector.register(peer, events, [script, b""])

    def connect(self):
        peer = socket.socket()
        peer.setblocking(False)
        if self.window:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.window)
        peer.connect_ex(self.address)
        return peer, self.script()

    def end(self, peer):
        self.selector.unregister(peer)
        peer.close()
        self.ended += 1
        self.open()

    def close(self):
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()

    def run(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for key, events in self.selector.select(0.05):
                try:
                    self.serve(key.fileobj, key.data, events)
                except (OSError, StopIteration):
                    self.end(key.fileobj)
            if self.pause:
                time.sleep(self.pause)
        answers = "".join(f", http_{status}: {count}" for status, count in sorted(self.answers.items()))
        return f"{self.opened} connections, {self.ended} ended, {self.sent} bytes{answers}"

    def serve(self, peer, state, events):
        if events & selectors.EVENT_READ:
            data = peer.recv(1 << 16)
            if not data:
                raise StopIteration
            if data.startswith(b"HTTP/1."):
                self.answers[data[9:12].decode()] += 1
        if events & selectors.EVENT_WRITE:
            state[1] = state[1] or next(state[0])
            taken = peer.send(state[1])
            self.sent += taken
            state[1] = state[1][taken:]


class TlsPeers(Peers):
    """The same after both handshakes, of TLS and of WebSocket; the script gets what makes records of its bytes."""

    def connect(self):
        coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = TLS.wrap_bio(coming, going)
        peer = socket.create_connection(self.address, timeout=10)
        done = False
        while not done:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            peer.sendall(going.read())
            if not done:
                answer = peer.recv(1 << 16)
                if not answer:
                    raise ConnectionResetError("closed in the handshake")
                coming.write(answer)
        # Each before the next: the server does not wait long for a request.
        tls.write(HANDSHAKE)
        peer.sendall(going.read())
        peer.setblocking(False)

        def record(data):
            tls.write(data)
            return going.read()

        return peer, self.script(record)


def seen(**least):
    """What must be seen of an attack beside what is seen of good clients, in half a second: a counter of the server that
    grows, closed_CODE of its host, or answers that the attacker has heard. Some hundredth of what is usual, for a machine
    that is busy."""

    def decorate(attack):
        attack.seen = least
        return attack

    return decorate


def repeat(first, chunk):
    """After what opens the connection the same for ever."""

    def script():
        yield first
        while True:
            yield chunk

    return script


def once(*chunks):
    """Says it and hangs up."""
    return lambda: iter(chunks)


@seen(handshakes=500)
def slow_heads(port, _, seconds):
    def script():
        for byte in HANDSHAKE * 1000:
            yield bytes([byte])

    return Peers(port, 1000, script, pause=0.5).run(seconds)


@seen(messages_in=100)
def frames_by_bytes(port, _, seconds):
    def script():
        yield HANDSHAKE
        while True:
            for byte in frame(TEXT, b"x" * 100):
                yield bytes([byte])

    return Peers(port, 100, script).run(seconds)


@seen(messages_in=50)
def records_by_bytes(_, port, seconds):
    def script(record):
        while True:
            for byte in record(frame(TEXT, b"x" * 100)):
                yield bytes([byte])

    return TlsPeers(port, 100, script).run(seconds)


@seen(closed_1009=100)
def declared_lengths(port, _, seconds):
    lengths = (1 << 62, 1 << 40, (1 << 63) - 1, 1 << 18)
    return Peers(port, 100, lambda: iter([HANDSHAKE + frame(BINARY, b"x", declared=random.choice(lengths))] * 50)).run(
        seconds
    )


@seen(closed_1009=100)
def bombs(port, _, seconds):
    return Peers(port, 20, repeat(HANDSHAKE, frame(BINARY, bomb(64 << 20), compressed=True))).run(seconds)


@seen(bytes_in=10_000_000)
def bombs_within_the_limit(port, _, seconds):
    return Peers(port, 8, repeat(HANDSHAKE, frame(BINARY, bomb(200_000), compressed=True)), reads=False).run(seconds)


@seen(closed_1008=20)
def endless_fragments(port, _, seconds):
    return Peers(port, 50, repeat(HANDSHAKE + frame(TEXT, b"a", fin=False), frame(CONTINUATION, b"a", fin=False))).run(
        seconds
    )


@seen(closed_1008=100)
def empty_fragments(port, _, seconds):
    many = frame(CONTINUATION, b"", fin=False) * 200
    return Peers(port, 50, repeat(HANDSHAKE + frame(TEXT, b"", fin=False), many)).run(seconds)


@seen(closed_1008=100)
def ping_flood(port, _, seconds):
    return Peers(port, 50, repeat(HANDSHAKE, frame(PING, b"x" * 125) * 50)).run(seconds)


@seen(messages_in=5_000)
def message_flood(port, _, seconds):
    """Of sound messages, whose echoes are read."""
    return Peers(port, 20, repeat(HANDSHAKE, frame(TEXT, b"x" * 64) * 100)).run(seconds)


@seen(messages_in=20_000)
def crowd(port, _, seconds):
    """Many send bursts that are not large, each when it has the echo of the one before: as much as the server can do."""
    command = [WSLOAD, "--json", "echo", f"127.0.0.1:{port}", "--connections=200", "--depth=200"]
    done = subprocess.run([*command, f"--seconds={seconds}"], check=True, stdout=subprocess.PIPE)
    return f"200 connections, {json.loads(done.stdout)['per_second']} messages a second"


@seen(messages_in=200)
def never_readers(port, _, seconds):
    return Peers(port, 100, repeat(HANDSHAKE, frame(BINARY, b"x" * 60_000)), reads=False).run(seconds)


@seen(queued_bytes=5_000_000)
def full_queues(port, _, seconds):
    """They don't read either, but what they get is not compressed, and the system takes little of it: it has to wait."""
    plain = HANDSHAKE.replace(b"Sec-WebSocket-Extensions: permessage-deflate\r\n", b"")
    return Peers(port, 100, repeat(plain, frame(BINARY, b"x" * 60_000)), reads=False, window=4096).run(seconds)


@seen(closed_1006=200)
def half_open(port, _, seconds):
    """Half of them say nothing any more, the others are cut by RST in the middle of a message."""
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
    for peer in idle:
        peer.sendall(HANDSHAKE)
        peer.shutdown(socket.SHUT_WR)
    done, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.create_connection(("127.0.0.1", port)) as peer:
            peer.sendall(HANDSHAKE + frame(BINARY, b"x" * 500, declared=1000))
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            done += 1
    return f"{len(idle)} half closed, {done} reset"


@seen(closed_1000=200)
def storm(port, _, seconds):
    return Peers(port, 200, once(HANDSHAKE, frame(CLOSE, b"\x03\xe8"))).run(seconds)


@seen(handshakes=50)
def empty_connections(port, _, seconds):
    return Peers(port, 200, once()).run(seconds)


@seen(refused=100, http_400=100)
def garbage(port, _, seconds):
    return Peers(port, 100, lambda: iter([os.urandom(random.randrange(1, 3000)) for _ in range(3)])).run(seconds)


@seen(http_101=100, closed_1002=100)
def garbage_frames(port, _, seconds):
    return Peers(port, 100, lambda: iter([HANDSHAKE, os.urandom(random.randrange(1, 3000))])).run(seconds)


@seen(refused=100, http_431=100)
def header_flood(port, _, seconds):
    many = b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(5000))
    long = b"GET / HTTP/1.1\r\nX: " + b"y" * 60_000
    return Peers(port, 100, lambda: iter([random.choice((many, long))])).run(seconds)


@seen(messages_in=500)
def pipelined(port, _, seconds):
    return Peers(port, 50, once(HANDSHAKE + frame(TEXT, b"hello") * 500, frame(CLOSE))).run(seconds)


@seen(refused=100, http_400=100)
def old_http(port, _, seconds):
    return Peers(port, 100, once(HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"), b"GET / HTTP/0.9\r\n\r\n")).run(seconds)


@seen(refused=100, http_400=50)
def smuggling(port, _, seconds):
    body = b"0\r\n\r\n" + HANDSHAKE
    both = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % len(body) + body
    twice = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 300\r\n\r\nabc" + HANDSHAKE
    upgrade = HANDSHAKE.replace(b"\r\n\r\n", b"\r\nContent-Length: 20\r\n\r\n") + frame(TEXT, b"hello")
    return Peers(port, 100, lambda: iter([random.choice((both, twice, upgrade))])).run(seconds)


@seen(refused=50, http_400=50)
def tls_garbage(port, tls_port, seconds):
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    return Peers(
        tls_port, 100, lambda: iter([random.choice((hello, b"\x16\x03\x01\xff\xff", HANDSHAKE)) + os.urandom(300)])
    ).run(seconds)


@seen(tls_answers=1)
def tls_hellos(port, tls_port, seconds):
    """The same first words of TLS over and over: they cost the peer nothing, and the server most of a handshake. Who says
    them last waits for the answer."""
    going = ssl.MemoryBIO()
    try:
        TLS.wrap_bio(ssl.MemoryBIO(), going).do_handshake()
    except ssl.SSLWantReadError:
        pass
    words = going.read()
    did = Peers(tls_port, 100, once(words)).run(seconds)
    with socket.create_connection(("127.0.0.1", tls_port), timeout=10) as last:
        last.sendall(words)
        return f"{did}, tls_answers: {int(last.recv(1) == HANDSHAKE_RECORD)}"


@seen(handshakes=250)
def slow_tls(port, tls_port, seconds):
    def script():
        for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(1000):
            yield bytes([byte])

    return Peers(tls_port, 500, script, pause=0.3).run(seconds)


ATTACKS = {
    attack.__name__: attack
    for attack in (
        slow_heads,
        frames_by_bytes,
        records_by_bytes,
        declared_lengths,
        bombs,
        bombs_within_the_limit,
        endless_fragments,
        empty_fragments,
        ping_flood,
        message_flood,
        crowd,
        never_readers,
        full_queues,
        half_open,
        storm,
        empty_connections,
        garbage,
        garbage_frames,
        header_flood,
        pipelined,
        old_http,
        smuggling,
        tls_garbage,
        tls_hellos,
        slow_tls,
    )
}


@seen()
def nothing(_port, _tls_port, seconds):
    """Takes the processor's time and nothing else: what the others are compared with."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pass
    return "nothing"


def named(name):
    return ATTACKS.get(name, nothing)


if __name__ == "__main__":
    name, port, tls_port, seconds = sys.argv[1:]
    # What is measured beside it is the server: it takes from its own processor only what the good clients leave.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    print(named(name)(int(port), int(tls_port), float(seconds)))
