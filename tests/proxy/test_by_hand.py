"""Without a proxy: the headers that one would send, by hand, also those that none should."""

import contextlib
import socket
import struct
import unittest

from stage import SECONDS, Host, client

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
UNSPECIFIED, TCP4, TCP6 = 0x00, 0x11, 0x21


def version2(command, family, addresses=b""):
    return SIGNATURE + struct.pack("!BBH", command, family, len(addresses)) + addresses


def tcp4(source, port):
    return socket.inet_aton(source) + socket.inet_aton("192.0.2.1") + struct.pack("!HH", port, 443)


def tcp6(source, port):
    address, other = (socket.inet_pton(socket.AF_INET6, text) for text in (source, "2001:db8::1"))
    return address + other + struct.pack("!HH", port, 443)


class Server(unittest.TestCase):
    listen = "127.0.0.1:0"
    options: dict[str, object] = {}

    @classmethod
    def setUpClass(cls):
        cls.host = Host(cls.listen, **cls.options)
        cls.addClassCleanup(cls.host.stop)
        cls.address = ("127.0.0.1", cls.host.port())

    def who(self, **options):
        with client(self.address, **options) as connection:
            return connection.who(), connection.socket.getsockname()

    @contextlib.contextmanager
    def connected(self, source="127.0.0.1"):
        with socket.create_connection(self.address, SECONDS, (source, 0)) as stream:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield stream

    def refusal(self, sent, source="127.0.0.1"):
        """What the server answers until it ends the connection."""
        received = b""
        with self.connected(source) as stream, contextlib.suppress(ConnectionResetError):
            stream.sendall(sent)
            while piece := stream.recv(4096):
                received += piece
        return received


class ProxyProtocol(Server):
    listen = "127.0.0.1:0?proxy"
    options = {"handshake_timeout_ms": 3_000}

    def test_both_versions_name_the_client(self):
        more = b"\x04\x00\x03abc"  # a TLV: no operation
        for name, first, peer in (
            ("1, IPv4", b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n", "203.0.113.7:51234"),
            ("1, IPv6", b"PROXY TCP6 2001:db8::7 2001:db8::1 51234 443\r\n", "[2001:db8::7]:51234"),
            ("2, IPv4", version2(PROXY, TCP4, tcp4("203.0.113.7", 51234)), "203.0.113.7:51234"),
            ("2, IPv6", version2(PROXY, TCP6, tcp6("2001:db8::7", 51234)), "[2001:db8::7]:51234"),
            ("2, with more", version2(PROXY, TCP4, tcp4("203.0.113.7", 51234) + more), "203.0.113.7:51234"),
        ):
            with self.subTest(name):
                self.assertEqual(self.who(first=first)[0]["peer"], peer)

    def test_a_header_without_an_address_leaves_the_proxys(self):
        for name, first in (
            ("1, UNKNOWN", b"PROXY UNKNOWN\r\n"),
            ("1, UNKNOWN with addresses", b"PROXY UNKNOWN ff:: ff:: 1 2\r\n"),
            ("2, LOCAL", version2(LOCAL, UNSPECIFIED)),
            ("2, LOCAL with an address", version2(LOCAL, TCP4, tcp4("203.0.113.7", 51234))),
            ("2, of no known family", version2(PROXY, UNSPECIFIED)),
        ):
            with self.subTest(name):
                who, (ip, port) = self.who(first=first, source="127.0.0.5")
                self.assertEqual(who["peer"], f"{ip}:{port}")

    def test_a_header_in_pieces_is_read_and_nothing_of_the_request_is_lost(self):
        line = b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n"
        for first in (line, version2(PROXY, TCP4, tcp4("203.0.113.7", 1))):
            for cut in (1, 5, len(first) - 1, len(first), len(first) + 3):
                with self.subTest(first=first, cut=cut), self.connected() as stream:
                    stream.sendall((first + HANDSHAKE)[:cut])
                    stream.sendall((first + HANDSHAKE)[cut:])
                    self.assertTrue(stream.recv(4096).startswith(b"HTTP/1.1 101 "))

    def test_without_a_sound_header_there_is_no_connection(self):
        for name, first in (
            ("none", b""),
            ("version 1 of nonsense", b"PROXY TCP4 203.0.113.7 192.0.2.1 51234\r\n"),
            ("version 1 of another kind", b"PROXY UDP4 203.0.113.7 192.0.2.1 51234 443\r\n"),
            ("too long a line", b"PROXY TCP4 " + b"1" * 200 + b"\r\n"),
            ("version 3", SIGNATURE + b"\x31\x11\0\x0c" + tcp4("203.0.113.7", 1)),
            ("version 2 cut short", version2(PROXY, TCP4, b"\0" * 4)),
            ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ):
            with self.subTest(name):
                self.assertRegex(self.refusal(first + HANDSHAKE), b"^HTTP/1.1 400 ")

    def test_a_header_that_does_not_come_is_not_waited_for(self):
        for first in (b"", b"PROXY TCP4 203", SIGNATURE):
            with self.subTest(first=first):
                self.assertNotIn(b" 101 ", self.refusal(first))

    def test_headers_of_http_are_not_believed(self):
        first = b"PROXY TCP4 198.51.100.1 192.0.2.1 51234 443\r\n"
        who, _ = self.who(first=first, additional_headers={"X-Forwarded-For": "203.0.113.9"})
        self.assertEqual(who["peer"], "198.51.100.1:51234")


class ProxyProtocolOfATrustedProxy(Server):
    listen = "127.0.0.1:0?proxy"
    options = {"trusted_proxies": "127.0.0.1,10.0.0.0/8"}

    def test_the_chain_goes_on_in_the_header(self):
        headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7", "X-Forwarded-Proto": "https"}
        for first, peer in (
            (b"PROXY TCP4 10.1.2.3 192.0.2.1 51234 443\r\n", "198.51.100.7"),
            (b"PROXY TCP4 11.1.2.3 192.0.2.1 51234 443\r\n", "11.1.2.3:51234"),
        ):
            who, _ = self.who(first=first, additional_headers=headers)
            self.assertEqual((who["peer"], who["tls"]), (peer, peer == "198.51.100.7"))

    def test_nobody_else_may_connect(self):
        first = b"PROXY TCP4 10.1.2.3 192.0.2.1 51234 443\r\n"
        self.assertRegex(self.refusal(first + HANDSHAKE, source="127.0.0.2"), b"^HTTP/1.1 403 ")


class NobodyIsTrusted(Server):
    def test_headers_are_not_believed(self):
        headers = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9;proto=https"}
        headers["X-Forwarded-Proto"] = "https"
        who, (ip, port) = self.who(additional_headers=headers)
        self.assertEqual((who["peer"], who["tls"]), (f"{ip}:{port}", False))

    def test_a_proxy_protocol_header_is_no_request(self):
        for first in (b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n", version2(LOCAL, UNSPECIFIED)):
            self.assertRegex(self.refusal(first + HANDSHAKE), b"^HTTP/1.1 400 ")


class ForwardedIsTrusted(Server):
    options = {"trusted_proxies": "127.0.0.0/8", "proxy_header": "forwarded"}

    def test_the_header_names_the_client(self):
        for value, peer, tls in (
            ("for=203.0.113.9;proto=https", "203.0.113.9", True),
            ('For="[2001:db8::7]:4711"; Proto=http', "[2001:db8::7]:4711", False),
            ("for=203.0.113.9, for=198.51.100.7;proto=https", "198.51.100.7", True),
        ):
            with self.subTest(value):
                who, _ = self.who(additional_headers={"Forwarded": value, "X-Forwarded-For": "192.0.2.9"})
                self.assertEqual((who["peer"], who["tls"]), (peer, tls))


class XForwardedForIsTrusted(Server):
    options = {"trusted_proxies": "127.0.0.1,10.0.0.0/8"}

    def test_the_last_that_is_no_proxy_is_the_client(self):
        for value, peer in (
            ("203.0.113.9", "203.0.113.9"),
            ("192.0.2.9, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
            ("2001:db8::7", "2001:db8::7"),
        ):
            with self.subTest(value):
                who, _ = self.who(additional_headers={"X-Forwarded-For": value, "X-Forwarded-Proto": "https"})
                self.assertEqual((who["peer"], who["tls"]), (peer, True))

    def test_only_a_proxy_may_say_so(self):
        who, (ip, port) = self.who(source="127.0.0.2", additional_headers={"X-Forwarded-For": "203.0.113.9"})
        self.assertEqual(who["peer"], f"{ip}:{port}")


if __name__ == "__main__":
    unittest.main()
