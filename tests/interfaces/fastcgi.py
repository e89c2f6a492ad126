"""One request to a FastCGI server on a unix socket, as a web server makes it (FastCGI Specification 1.0)."""

import socket
import struct

BEGIN_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT = 1, 3, 4, 5, 6
RESPONDER = 1


def get(path, script):
    """The body of the answer."""
    parameters = {
        "SCRIPT_FILENAME": str(script),
        "REQUEST_METHOD": "GET",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_URI": "/",
    }
    pairs = b"".join(
        struct.pack("!BB", len(name), len(value)) + name.encode() + value.encode() for name, value in parameters.items()
    )
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(
            record(BEGIN_REQUEST, struct.pack("!HB5x", RESPONDER, 0))
            + record(PARAMS, pairs)
            + record(PARAMS, b"")
            + record(STDIN, b"")
        )
        stream = connection.makefile("rb")
        output = b""
        while True:
            _, kind, _, length, padding, _ = struct.unpack("!BBHHBB", stream.read(8))
            content = stream.read(length + padding)[:length]
            if kind == STDOUT:
                output += content
            elif kind == END_REQUEST:
                return output.decode().partition("\r\n\r\n")[2]


def record(kind, content):
    return struct.pack("!BBHHBB", 1, kind, 1, len(content), 0, 0) + content
