"""Node.js with npm's ws as the client."""

import base64
import random
import unittest

from matrix import CLOSES, COMPRESSED, ROWS, SIZES, Server, in_rows
from node_client import Client

NOISE = random.Random(4).randbytes(2_000)
OFFERS = [
    {},
    {"clientMaxWindowBits": False},
    {"serverMaxWindowBits": 9, "clientMaxWindowBits": 10},
    {"serverMaxWindowBits": 15, "clientMaxWindowBits": 9},
    {"serverNoContextTakeover": True},
    {"clientNoContextTakeover": True},
    {"serverMaxWindowBits": 10, "serverNoContextTakeover": True, "clientNoContextTakeover": True},
]


def setUpModule():
    global client
    client = Client()
    unittest.addModuleCleanup(client.stop)


@in_rows(ROWS)
class Messages:
    def test_text_and_binary_of_all_sizes(self):
        extensions = client.open(self.server)
        self.assertEqual(extensions is not None, self.row.compressed)
        client("echo", sizes=SIZES)
        self.assertEqual(client("close", code=1000, reason=""), [1000, ""])

    def test_fragments_with_pings_between(self):
        client.open(self.server)
        client("fragments", size=1_000, part=7)
        client("fragments", size=100_000, part=10_001)

    def test_pings_are_answered_with_their_payload(self):
        client.open(self.server)
        client("ping", payloads=["", "x", "ж" * 62])

    def test_many_messages_in_a_row(self):
        client.open(self.server)
        client("many", count=1_000)

    def test_closes_are_answered_with_their_code(self):
        for code, reason in CLOSES:
            with self.subTest(code=code, reason=reason):
                client.open(self.server)
                self.assertEqual(client("close", code=code, reason=reason)[0], code)

    def test_a_close_without_a_code_is_answered_so(self):
        client.open(self.server)
        self.assertEqual(client("close"), [1005, ""])

    def test_a_stopped_server_says_goodbye(self):
        server = Server(self.row.face, *self.row.options)
        self.addCleanup(server.stop)
        client.open(server)
        server.stop()
        self.assertEqual(client("closed"), [1001, ""])


@in_rows(COMPRESSED)
class Compression:
    def test_every_offer_gets_what_it_asks_for(self):
        for offer in OFFERS:
            with self.subTest(offer=offer):
                extensions = client.open(self.server, offer=offer)
                self.assertIn("permessage-deflate", extensions)
                message = base64.b64encode(NOISE).decode()
                # The window reaches back to the message before, or it does not.
                reaches = offer.get("serverMaxWindowBits", 15) > 11 and "serverNoContextTakeover" not in offer
                if reaches and self.row.compression == "context_takeover":
                    # The first are compressed by themselves, while the server makes what can do more.
                    first, *_, last = client("again", message=message, below=len(NOISE) / 10)
                    self.assertLess(last, len(NOISE) / 10)
                    self.assertLess(max(client("again", message=message)), len(NOISE) / 10)
                else:
                    first, *again = client("again", message=message)
                    self.assertGreaterEqual(min(again), len(NOISE))
                self.assertGreaterEqual(first, len(NOISE))
                client("echo", sizes=[0, 10, 70_000])
                self.assertEqual(client("close", code=1000, reason="")[0], 1000)


if __name__ == "__main__":
    unittest.main()
