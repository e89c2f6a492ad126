"""permessage-deflate (RFC 7692), with Python's websockets as the client: it shows what is on the wire."""

import random
import time
import unittest
import zlib

from websockets.exceptions import ConnectionClosed

from matrix import COMPRESSED, SIZES, in_rows
from python_client import client

# Data that deflate can do nothing with but find it again.
NOISE = random.Random(1).randbytes(2_000)
# It is found again at these distances, some of them just beyond a window.
MESSAGES = [NOISE[:distance] * 3 for distance in (100, 250, 257, 300, 513, 600, 1_100)]
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


@in_rows(COMPRESSED)
class Compression:
    def lengths(self, connection, message):
        """How long a message is on the wire, on its way there and back."""
        connection.send(message)
        self.assertEqual(connection.receive(), message)
        frames = connection.wire.sent[-1], connection.wire.received[-1]
        self.assertEqual([frame.rsv1 for frame in frames], [True, True])
        return [len(frame.data) for frame in frames]

    def test_every_offer_gets_what_it_asks_for(self):
        for offer in OFFERS:
            with self.subTest(offer=offer), client(self.server, offers=[offer]) as connection:
                parameters = connection.agreed()
                told = self.row.compression == "no_context_takeover"
                wanted = offer.get("server_no_context_takeover", False)
                self.assertEqual("server_no_context_takeover" in parameters, told or wanted, parameters)
                if told:
                    self.assertIn("client_no_context_takeover", parameters)
                if "server_max_window_bits" in offer:
                    bits = int(parameters["server_max_window_bits"])
                    self.assertLessEqual(bits, offer["server_max_window_bits"])
                self.keeps_to(connection, parameters)

    def test_the_first_offer_that_can_be_met_is_taken(self):
        offers = [{"server_max_window_bits": 10, "server_no_context_takeover": True}, {}]
        with client(self.server, offers=offers) as connection:
            parameters = connection.agreed()
            self.assertEqual(parameters.get("server_max_window_bits"), "10")
            self.keeps_to(connection, parameters)

    def test_a_window_of_256_bytes_is_declined_or_kept_to(self):
        # The server's side may stay uncompressed: few compressors have a window that small.
        with client(self.server, offers=[{"server_max_window_bits": 8}, {}]) as connection:
            parameters = connection.agreed()
            self.assertIn(parameters.get("server_max_window_bits"), ("8", None))
            for message in MESSAGES:
                connection.send(message)
                self.assertEqual(connection.receive(), message)
            self.window_is_kept_to(connection, parameters)

    def test_a_message_that_is_too_large_once_inflated_is_refused(self):
        with client(self.server) as connection:
            connection.send(bytes(max(SIZES) + 1))
            with self.assertRaises(ConnectionClosed) as closed:
                connection.receive()
        self.assertLess(len(connection.wire.sent[-1].data), 100_000)
        self.assertEqual(closed.exception.rcvd.code, 1009)

    def reaches(self, side, parameters):
        """To the message before."""
        bits = int(parameters.get(f"{side}_max_window_bits") or 15)
        return bits > 11 and f"{side}_no_context_takeover" not in parameters

    def keeps_to(self, connection, parameters):
        """A message sent again is short if the window reaches back to the first, else as long as that."""
        short = len(NOISE) / 10
        lengths = [self.lengths(connection, NOISE)]
        if self.reaches("server", parameters):
            # The first are compressed by themselves, while the server makes what can do more.
            deadline = time.monotonic() + 20
            while (received := self.lengths(connection, NOISE)[1]) >= short and time.monotonic() < deadline:
                pass
            self.assertLess(received, short, parameters)
        lengths += (self.lengths(connection, NOISE) for _ in range(2))
        for side, first, second, third in zip(("client", "server"), *lengths):
            self.assertGreaterEqual(first, len(NOISE), side)
            for again in (second, third):
                if self.reaches(side, parameters):
                    self.assertLess(again, short, f"{side}: {parameters}")
                else:
                    self.assertGreaterEqual(again, len(NOISE), f"{side}: {parameters}")
        # Text of few letters shrinks with any parameters.
        sent, received = self.lengths(connection, NOISE.hex())
        self.assertLess(sent, 0.7 * len(NOISE.hex()))
        self.assertLess(received, 0.7 * len(NOISE.hex()))
        for message in MESSAGES:
            self.lengths(connection, message)
        self.window_is_kept_to(connection, parameters)

    def window_is_kept_to(self, connection, parameters):
        """Inflates all that came byte by byte, so that zlib has no more to refer to than the window."""
        inflater = None
        for frame in connection.wire.received:
            if not frame.rsv1:
                continue
            if inflater is None or "server_no_context_takeover" in parameters:
                inflater = zlib.decompressobj(wbits=-int(parameters.get("server_max_window_bits") or 15))
            data = bytes(frame.data) + b"\x00\x00\xff\xff"
            while inflater.decompress(data, 1):
                data = inflater.unconsumed_tail


@in_rows([row for row in COMPRESSED if row.transport == "plain"])
class Threshold:
    more_options = ["compression_threshold_bytes=100"]

    def test_shorter_messages_go_uncompressed(self):
        with client(self.server) as connection:
            for size in (0, 99, 100, 1_000, 99):
                connection.send("a" * size)
                self.assertEqual(connection.receive(), "a" * size)
        data = [frame for frame in connection.wire.received if not frame.opcode & 8]
        self.assertEqual([frame.rsv1 for frame in data], [False, False, True, True, False])

    def test_a_client_that_offers_nothing_gets_nothing(self):
        with client(self.server, compression=None) as connection:
            connection.send("a" * 1_000)
            self.assertEqual(connection.receive(), "a" * 1_000)
        self.assertIsNone(connection.agreed())
        self.assertFalse(any(frame.rsv1 for frame in connection.wire.received))


if __name__ == "__main__":
    unittest.main()
