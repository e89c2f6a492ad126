"""What TLS promises beside carrying messages: who the server is, which versions, how it ends, and that what
is no TLS is turned away. The matrix runs all that is not about TLS itself over it as well."""

import socket
import ssl
import subprocess
import unittest
import warnings

from certificates import certificates
from matrix import FACES, PLAIN, ROOT, ROWS, SECONDS, TLS, in_rows, tls_options
from python_client import client
from node_client import Client, Refused

OVER_TLS = [row for row in ROWS if row.transport == "tls" and not row.compressed]
BELIEVING = ["--cacert", str(certificates().authority)]


def trusting():
    return ssl.create_default_context(cafile=certificates().authority)


def curl(server, *arguments, host="127.0.0.1"):
    """The exit status, 60 for a certificate that curl does not believe. Any host leads to our server."""
    command = ["curl", "--silent", "--noproxy", "*", "--max-time", str(SECONDS), "--output", "/dev/null"]
    command += ["--connect-to", f"::127.0.0.1:{server.port()}", *arguments, f"https://{host}/healthz"]
    return subprocess.run(command, stdin=subprocess.DEVNULL).returncode


def echoes(case, connection):
    connection.send("Grüße")
    case.assertEqual(connection.receive(), "Grüße")


def rest_of(connection):
    """All that still comes. Over TLS an end without close_notify, where anybody on the way might have cut the
    rest, is an SSLEOFError."""
    rest = b""
    try:
        while more := connection.recv(10_000):
            rest += more
    except ConnectionResetError:
        pass  # as good an end for what is no TLS
    return rest


class Raw:
    """Bytes over TLS by Python's own ssl."""

    def raw(self, context):
        plain = socket.create_connection(("127.0.0.1", self.server.port()), SECONDS)
        self.addCleanup(plain.close)
        secure = context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False)
        self.addCleanup(secure.close)
        return secure


@in_rows(OVER_TLS)
class Certificate:
    def test_an_authority_that_is_not_known_is_not_believed(self):
        with self.assertRaises(ssl.SSLCertVerificationError):
            client(self.server, ssl=ssl.create_default_context())
        self.assertEqual(curl(self.server), 60)
        node = Client()
        self.addCleanup(node.stop)
        with self.assertRaisesRegex(Refused, "UNABLE_TO"):
            node("open", url=self.server.url())

    def test_a_name_that_is_not_in_it_is_not_believed(self):
        with self.assertRaises(ssl.SSLCertVerificationError):
            client(self.server, server_hostname="elsewhere.example")
        self.assertEqual(curl(self.server, *BELIEVING, host="elsewhere.example"), 60)

    def test_both_its_names_are_believed(self):
        for name in ("127.0.0.1", "localhost"):
            with client(self.server, server_hostname=name) as connection:
                echoes(self, connection)
            self.assertEqual(curl(self.server, *BELIEVING, host=name), 0)


@in_rows(OVER_TLS)
class Protocol(Raw):
    def test_versions_1_2_and_1_3_are_spoken(self):
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            with self.subTest(version=name):
                context = trusting()
                context.minimum_version = context.maximum_version = version
                with client(self.server, ssl=context) as connection:
                    spoken = connection.websocket.transport.get_extra_info("ssl_object").version()
                    self.assertEqual(spoken, name)
                    echoes(self, connection)

    def test_version_1_1_is_not(self):
        context = trusting()
        context.set_ciphers("ALL:@SECLEVEL=0")  # else OpenSSL would not even ask
        with warnings.catch_warnings(action="ignore"):
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with self.assertRaisesRegex(ssl.SSLError, "(?i)alert.(protocol.version|handshake.failure)"):
            self.raw(context)

    def test_http_1_1_is_what_is_spoken_inside(self):
        context = trusting()
        context.set_alpn_protocols(["h2", "http/1.1"])
        self.assertIn(self.raw(context).selected_alpn_protocol(), ("http/1.1", None))

    def test_an_answer_is_whole_and_ends_with_close_notify(self):
        connection = self.raw(trusting())
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = rest_of(connection)
        self.assertTrue(answer.endswith(b"\r\n\r\nok\n"), answer)

    def test_a_closing_handshake_ends_with_close_notify(self):
        connection = self.raw(trusting())
        connection.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(1_000)
        connection.sendall(b"\x88\x82\0\0\0\0\x03\xe8")  # a close frame with code 1000, masked with zeros
        frames = answer.partition(b"\r\n\r\n")[2] + rest_of(connection)
        self.assertEqual(frames, b"\x88\x02\x03\xe8")


@in_rows(OVER_TLS)
class Listeners:
    more_options = [f"listen={PLAIN},{TLS}"]

    def test_plain_and_tls_side_by_side(self):
        self.assertRegex(self.server.addresses[0], r"^127\.0\.0\.1:\d+$")
        self.assertRegex(self.server.addresses[1], r"^tls://127\.0\.0\.1:\d+$")
        with client(self.server, 0) as plain, client(self.server, 1) as secure:
            echoes(self, plain)
            echoes(self, secure)

    def test_what_is_no_tls_is_turned_away_and_hurts_nobody(self):
        with client(self.server, 1) as connection:
            request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
            for start in (request, b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 100):
                with socket.create_connection(("127.0.0.1", self.server.port(1)), SECONDS) as stranger:
                    stranger.sendall(start)
                    stranger.shutdown(socket.SHUT_WR)
                    self.assertNotIn(b"HTTP/1.1 101", rest_of(stranger))
            echoes(self, connection)

    def test_tls_at_the_plain_port_is_turned_away(self):
        plain = socket.create_connection(("127.0.0.1", self.server.port(0)), SECONDS)
        self.addCleanup(plain.close)
        with self.assertRaises((ssl.SSLError, ConnectionResetError)):
            trusting().wrap_socket(plain, server_hostname="127.0.0.1")


@in_rows(OVER_TLS)
class Start:
    def refused(self, *options):
        command = [*FACES[self.row.face], f"listen={TLS}", *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stdout, "")
        return done.stderr

    def test_a_wrong_certificate_or_key_is_named(self):
        certificate, key = tls_options()
        self.assertIn("tls_cert", self.refused())
        self.assertIn("tls_key", self.refused(certificate))
        self.assertIn("/no/such.pem", self.refused("tls_cert=/no/such.pem", key))
        self.assertIn("tls_key", self.refused(certificate, f"tls_key={certificates().authority}"))
        # A key that is sound, but another's.
        other = certificates().authority.with_name("authority.key")
        self.assertRegex(self.refused(certificate, f"tls_key={other}"), "tls_cert|tls_key")


if __name__ == "__main__":
    unittest.main()
