"""A connection by Python's websockets that shows what goes over the wire."""

import ssl

from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

from certificates import certificates
from matrix import SIZES


class Wire(Extension):
    """Behind all others it sees the frames of messages as they are on the wire."""

    name = "wire"

    def __init__(self):
        self.sent, self.received = [], []

    def encode(self, frame):
        self.sent.append(frame)
        return frame

    def decode(self, frame, *, max_size=None):
        self.received.append(frame)
        return frame


def client(server, number=0, offers=None, **options):
    """A connection whose `wire` shows the frames."""
    url = server.url(number=number)
    if url.startswith("wss:") and "ssl" not in options:
        options["ssl"] = ssl.create_default_context(cafile=certificates().authority)
    if offers is not None:
        options["compression"] = None
        options["extensions"] = [ClientPerMessageDeflateFactory(**offer) for offer in offers]
    connection = connect(url, max_size=max(SIZES), proxy=None, legacy=True, **options)
    connection.wire = Wire()
    connection.protocol.extensions.append(connection.wire)
    return connection


def agreed(connection):
    """The parameters of compression by name, or None without compression."""
    header = connection.response.headers.get("Sec-WebSocket-Extensions")
    if header is None:
        return None
    name, *parameters = header.replace(" ", "").split(";")
    assert name == "permessage-deflate", header
    return dict(parameter.partition("=")[::2] for parameter in parameters)
