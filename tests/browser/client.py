"""A WebSocket client for when a browser would be too clever: it sends and receives one frame at a time."""

import socket
import struct

TEXT, BINARY = 1, 2


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.stream = self.socket.makefile("rb")
        self.socket.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        status = self.stream.readline()
        if b" 101 " not in status:
            raise ConnectionError(f"the handshake was answered by {status!r}")
        while self.stream.readline() != b"\r\n":
            pass

    def send(self, opcode, payload):
        # A mask of zeros is a mask: the payload stays as it is.
        if len(payload) < 126:
            head = struct.pack("!BB4x", 0x80 | opcode, 0x80 | len(payload))
        elif len(payload) < 1 << 16:
            head = struct.pack("!BBH4x", 0x80 | opcode, 0x80 | 126, len(payload))
        else:
            head = struct.pack("!BBQ4x", 0x80 | opcode, 0x80 | 127, len(payload))
        self.socket.sendall(head + payload)

    def receive(self):
        """The next frame, as opcode and payload."""
        first, length = self.stream.read(2)
        if length > 125:
            form = "!H" if length == 126 else "!Q"
            (length,) = struct.unpack(form, self.stream.read(struct.calcsize(form)))
        return first & 0x0F, self.stream.read(length)

    def close(self):
        self.stream.close()
        self.socket.close()
