"""A connection by Python's websockets that shows what goes over the wire.

Its client with threads would be simpler, but it reads and writes a TLS connection at once, which the ssl of
Python 3.11 does not stand: of some thousand handshakes one never returned, with other servers as well.
"""

import asyncio
import atexit
import ssl

from websockets.asyncio.client import connect
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from certificates import certificates
from matrix import SECONDS, SIZES

LOOP = asyncio.Runner()
atexit.register(LOOP.close)


def run(awaitable):
    """Waits for it, while the connections live on."""

    async def in_time():
        return await asyncio.wait_for(awaitable, SECONDS)

    return LOOP.run(in_time())


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


class Connection:
    """One call at a time; whoever wants more has the `websocket` and run()."""

    def __init__(self, websocket):
        self.websocket = websocket
        self.wire = Wire()
        websocket.protocol.extensions.append(self.wire)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, message, **options):
        run(self.websocket.send(message, **options))

    def receive(self):
        return run(self.websocket.recv())

    def ping(self, payload):
        """Waits for the pong."""

        async def there_and_back():
            await (await self.websocket.ping(payload))

        run(there_and_back())

    def close(self, code=1000, reason=""):
        """Gives the code that came back."""
        run(self.websocket.close(code, reason))
        answer = self.websocket.protocol.close_rcvd
        return answer and answer.code

    def agreed(self):
        """The parameters of compression by name, or None without compression."""
        header = self.websocket.response.headers.get("Sec-WebSocket-Extensions")
        if header is None:
            return None
        name, *parameters = header.replace(" ", "").split(";")
        assert name == "permessage-deflate", header
        return dict(parameter.partition("=")[::2] for parameter in parameters)


def client(server, number=0, offers=None, **options):
    """Connects to an address of the server; `offers` of compression replace the client's own."""
    url = server.url(number=number)
    if url.startswith("wss:") and "ssl" not in options:
        options["ssl"] = ssl.create_default_context(cafile=certificates().authority)
    if offers is not None:
        options["compression"] = None
        options["extensions"] = [ClientPerMessageDeflateFactory(**offer) for offer in offers]

    async def connected():
        return await connect(url, max_size=max(SIZES), proxy=None, **options)

    return Connection(run(connected()))
