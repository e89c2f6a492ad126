"""Python's websockets as the client. It shows what compression did to each frame, so most of that is looked at here."""

import random
import ssl
import unittest

from websockets.exceptions import ConnectionClosed
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

from certificates import certificates
from matrix import CLOSES, COMPRESSED, FACES, MAX_SIZE, ROWS, SECONDS, SIZES, Server, in_rows, text_of

# Data that deflate can do nothing with but find it again; hexadecimal text has half a byte in each character.
NOISE = random.Random(1).randbytes(2_000)
# What a client may ask for; the first is the default of this one.
OFFERS = [
    {"client_max_window_bits": True},
    {},
    {"server_max_window_bits": 9, "client_max_window_bits": 9},
    {"server_max_window_bits": 10, "client_max_window_bits": 12},
    {"server_max_window_bits": 15, "client_max_window_bits": 15},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True},
    {"server_no_context_takeover": True, "client_no_context_takeover": True},
    {
        "server_no_context_takeover": True,
        "client_no_context_takeover": True,
        "server_max_window_bits": 9,
        "client_max_window_bits": 9,
    },
]


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
        options |= {"compression": None, "extensions": [ClientPerMessageDeflateFactory(**offer) for offer in offers]}
    connection = connect(url, max_size=MAX_SIZE, proxy=None, legacy=True, **options)
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


@in_rows(ROWS)
class Messages:
    def echoes(self, connection, message):
        connection.send(message)
        answer = connection.recv(timeout=SECONDS)
        if answer != message:  # without assertEqual, which would compare and print megabytes
            self.fail(f"{len(message)} of {type(message).__name__} came back as {len(answer)} of {type(answer).__name__}")

    def test_text_of_all_sizes(self):
        with client(self.server) as connection:
            for size in SIZES:
                with self.subTest(size=size):
                    self.echoes(connection, text_of(size))

    def test_binary_of_all_sizes(self):
        block = random.Random(2).randbytes(20_000)
        with client(self.server) as connection:
            for size in SIZES:
                with self.subTest(size=size):
                    self.echoes(connection, (block * (size // len(block) + 1))[:size])

    def test_data_that_cannot_be_compressed(self):
        with client(self.server) as connection:
            self.echoes(connection, random.Random(3).randbytes(200_000))

    def test_compression_is_what_the_server_was_told(self):
        with client(self.server) as connection:
            for message in ("", "x", "Grüße", b"\x00\xff", text_of(70_000)):
                self.echoes(connection, message)
        self.assertEqual(agreed(connection) is not None, self.row.compressed)
        data = [frame for frame in connection.wire.received if not frame.opcode & 8]
        self.assertEqual([frame.rsv1 for frame in data], [self.row.compressed] * 5)

    def test_fragments_with_pings_between(self):
        answered = []

        def parts(message, size):
            for start in range(0, len(message), size):
                yield message[start : start + size]
                answered.append(connection.ping(str(start).encode()))

        with client(self.server) as connection:
            text = text_of(1_000)
            # In pieces of seven bytes characters are cut as well.
            connection.send(parts(text.encode(), 7), text=True)
            self.assertEqual(connection.recv(timeout=SECONDS), text)
            connection.send(parts(NOISE * 40, 10_001))
            self.assertEqual(connection.recv(timeout=SECONDS), NOISE * 40)
            self.assertEqual(len(answered), 143 + 8)
            for pong in answered:
                self.assertTrue(pong.wait(SECONDS), "no pong")

    def test_pings_are_answered_with_their_payload(self):
        with client(self.server) as connection:
            for payload in (b"", b"x", bytes(range(125))):
                self.assertTrue(connection.ping(payload).wait(SECONDS), payload)
            pongs = [frame for frame in connection.wire.received if frame.opcode == 10]
            self.assertEqual([bytes(pong.data) for pong in pongs], [b"", b"x", bytes(range(125))])
            self.assertEqual({pong.rsv1 for pong in pongs}, {False})

    def test_many_messages_in_a_row(self):
        messages = [f'{{"number": {n}, "text": "{text_of(n % 300)}"}}' for n in range(1_000)]
        with client(self.server) as connection:
            for message in messages:
                connection.send(message)
            self.assertEqual([connection.recv(timeout=SECONDS) for _ in messages], messages)

    def test_closes_are_answered_with_their_code(self):
        for code, reason in CLOSES:
            with self.subTest(code=code, reason=reason):
                connection = client(self.server)
                connection.close(code, reason)
                self.assertEqual(connection.protocol.close_rcvd.code, code)
                self.assertFalse(connection.protocol.close_rcvd_then_sent)

    def test_a_stopped_server_says_goodbye(self):
        server = Server(self.row.face, *self.row.options)
        self.addCleanup(server.stop)
        with client(server) as connection:
            self.echoes(connection, "here")
            server.stop()
            with self.assertRaises(ConnectionClosed) as closed:
                connection.recv(timeout=SECONDS)
        self.assertEqual((closed.exception.rcvd.code, closed.exception.rcvd_then_sent), (1001, True))


@in_rows(COMPRESSED)
class Compression:
    def lengths(self, connection, message):
        """How long a message is on the wire, on its way there and back."""
        connection.send(message)
        self.assertEqual(connection.recv(timeout=SECONDS), message)
        frames = connection.wire.sent[-1], connection.wire.received[-1]
        self.assertEqual([frame.rsv1 for frame in frames], [True, True])
        return [len(frame.data) for frame in frames]

    def test_every_offer_gets_what_it_asks_for(self):
        for offer in OFFERS:
            with self.subTest(offer=offer), client(self.server, offers=[offer]) as connection:
                parameters = agreed(connection)
                told = self.row.compression == "no_context_takeover"
                wanted = offer.get("server_no_context_takeover", False)
                self.assertEqual("server_no_context_takeover" in parameters, told or wanted, parameters)
                if told:
                    self.assertIn("client_no_context_takeover", parameters)
                if "server_max_window_bits" in offer:
                    self.assertLessEqual(int(parameters["server_max_window_bits"]), offer["server_max_window_bits"])
                self.keeps_to(connection, parameters)

    def test_the_first_offer_that_can_be_met_is_taken(self):
        offers = [{"server_max_window_bits": 10, "server_no_context_takeover": True}, {}]
        with client(self.server, offers=offers) as connection:
            parameters = agreed(connection)
            self.assertEqual(parameters.get("server_max_window_bits"), "10")
            self.keeps_to(connection, parameters)

    def test_a_window_of_256_bytes_is_kept_to_or_declined(self):
        with client(self.server, offers=[{"server_max_window_bits": 8}, {}]) as connection:
            parameters = agreed(connection)
            self.assertIn(parameters.get("server_max_window_bits"), ("8", None))
            self.keeps_to(connection, parameters)

    def keeps_to(self, connection, parameters):
        """A message sent again is short if the window reaches back to the first, and as long as that if not."""
        sides = zip(("client", "server"), *(self.lengths(connection, NOISE) for _ in range(3)))
        for side, first, second, third in sides:
            reaches = int(parameters.get(f"{side}_max_window_bits") or 15) > 11
            context = reaches and f"{side}_no_context_takeover" not in parameters
            self.assertGreaterEqual(first, len(NOISE), side)
            for again in (second, third):
                if context:
                    self.assertLess(again, len(NOISE) / 10, f"{side}: {parameters}")
                else:
                    self.assertGreaterEqual(again, len(NOISE), f"{side}: {parameters}")
        # Text of few letters shrinks with any parameters.
        sent, received = self.lengths(connection, NOISE.hex())
        self.assertLess(sent, 0.7 * len(NOISE.hex()))
        self.assertLess(received, 0.7 * len(NOISE.hex()))


@in_rows([row for row in COMPRESSED if row.transport == "plain"])
class Threshold:
    more_options = ["compression_threshold_bytes=100"]

    def test_shorter_messages_go_uncompressed(self):
        with client(self.server) as connection:
            for size in (0, 99, 100, 1_000, 99):
                connection.send("a" * size)
                self.assertEqual(connection.recv(timeout=SECONDS), "a" * size)
        data = [frame for frame in connection.wire.received if not frame.opcode & 8]
        self.assertEqual([frame.rsv1 for frame in data], [False, False, True, True, False])

    def test_a_client_that_offers_nothing_gets_nothing(self):
        with client(self.server, compression=None) as connection:
            connection.send("a" * 1_000)
            self.assertEqual(connection.recv(timeout=SECONDS), "a" * 1_000)
        self.assertIsNone(agreed(connection))
        self.assertFalse(any(frame.rsv1 for frame in connection.wire.received))


if __name__ == "__main__":
    unittest.main()
