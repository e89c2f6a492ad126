"""curl as the client. It has no frames in Debian 12, but shows the answers to handshakes of all sorts."""

import subprocess
import unittest

from certificates import certificates
from matrix import COMPRESSED, ROWS, SECONDS, in_rows

# The key and its answer are those of RFC 6455, section 1.3.
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
# Status, and what is changed in a sound request; None leaves a header out.
REFUSALS = [
    (426, {"Sec-WebSocket-Version": "12"}, []),
    (426, {"Sec-WebSocket-Version": None}, []),
    (426, dict.fromkeys(UPGRADE), []),
    (400, {"Sec-WebSocket-Key": None}, []),
    (400, {"Sec-WebSocket-Key": "c2hvcnQ="}, []),
    (400, {"Connection": "keep-alive"}, []),
    (400, {"Host": None}, []),
    (403, {"Origin": "https://elsewhere.example"}, []),
    (403, {"Origin": "null"}, []),
    (405, {}, ["--request", "POST"]),
    (400, {}, ["--http1.0", "--no-alpn"]),
    (400, {}, ["--request", "GET", "--data", "a body"]),
]
# Offers of compression that are no sound ones (RFC 7692, section 7.1), and the connection opens without.
UNSOUND = [
    "permessage-deflate; client_max_window_bits=16",
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; server_max_window_bits=08",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
    "permessage-deflate; unknown",
    "permessage-bzip2",
    "x-webkit-deflate-frame",
]


def request(server, changes=None, arguments=()):
    """Status and headers of the answer. After a 101 curl would wait, so it is ended when it has the head."""
    headers = {**UPGRADE, **(changes or {})}
    command = ["curl", "--silent", "--verbose", "--noproxy", "*", "--max-time", SECONDS]
    command += ["--output", "/dev/null", "--cacert", certificates().authority]
    for name, value in headers.items():
        # "Name:" leaves out what curl sends by itself.
        command += ["-H", f"{name}: {value}" if value else f"{name}:"]
    command += [*arguments, server.url("http")]
    # What curl says of the head is not buffered, other than the head itself.
    process = subprocess.Popen(map(str, command), stderr=subprocess.PIPE, text=True)
    with process, process.stderr as said:
        lines = []
        for line in said:
            if line == "< \n":
                process.kill()
                status, *fields = (line.removeprefix("< ").strip() for line in lines if line.startswith("< "))
                pairs = (field.partition(":") for field in fields)
                return int(status.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}
            lines.append(line)
    raise AssertionError("".join(lines))


@in_rows(ROWS)
class Handshake:
    def test_the_upgrade_is_answered(self):
        status, headers = request(self.server)
        self.assertEqual((status, headers["sec-websocket-accept"]), (101, ACCEPT))
        self.assertEqual(headers["upgrade"].lower(), "websocket")
        self.assertEqual(headers["connection"].lower(), "upgrade")
        self.assertNotIn("sec-websocket-extensions", headers, "it was not offered")
        self.assertNotIn("sec-websocket-protocol", headers, "it was not offered")

    def test_refusals(self):
        for status, changes, arguments in REFUSALS:
            with self.subTest(status=status, changes=changes, arguments=arguments):
                answer, headers = request(self.server, changes, arguments)
                self.assertEqual(answer, status)
                self.assertEqual(headers.get("sec-websocket-version"), "13" if status == 426 else None)

    def test_compression_is_agreed_on_if_the_server_was_told(self):
        offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
        status, headers = request(self.server, offer)
        self.assertEqual(status, 101)
        answer = headers.get("sec-websocket-extensions", "").partition(";")[0]
        self.assertEqual(answer, "permessage-deflate" if self.row.compressed else "")


@in_rows(COMPRESSED)
class Offers:
    def answer(self, offer):
        status, headers = request(self.server, {"Sec-WebSocket-Extensions": offer})
        self.assertEqual(status, 101)
        return headers.get("sec-websocket-extensions")

    def test_unsound_ones_are_declined(self):
        for offer in UNSOUND:
            with self.subTest(offer=offer):
                self.assertIsNone(self.answer(offer))
        sound = "permessage-deflate; server_max_window_bits=11"
        self.assertIn("server_max_window_bits=11", self.answer(f"{UNSOUND[0]}, {sound}"))

    def test_a_client_that_cannot_be_told_its_window_is_not(self):
        for offer in ("permessage-deflate", "permessage-deflate; server_max_window_bits=10"):
            self.assertNotIn("client_max_window_bits", self.answer(offer))


if __name__ == "__main__":
    unittest.main()
