"""What holds behind any proxy: test cases of both inherit this, and say where `host` and proxy are."""

import random

from websockets.exceptions import ConnectionClosed, InvalidStatus

from stage import MEBIBYTE, SECONDS, client, http, wait_for

# What a client could send to be taken for somebody else.
FORGED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "http",
    "X-Real-IP": "203.0.113.9",
    "Forwarded": "for=203.0.113.9;proto=http",
}


class Behaviour:
    address: tuple[str, int]
    host: object

    def client(self, path="/", **options):
        connection = client(self.address, path, tls=True, **options)
        self.addCleanup(connection.close)
        return connection

    def test_messages_come_back_as_they_are(self):
        connection = self.client()
        data = random.Random(1).randbytes(MEBIBYTE)
        for message in ("", "Grüße", "x" * 65_536, b"\x00\xff"):
            self.assertEqual(connection.ask(message), message)
        self.assertTrue(connection.ask(data) == data, "1 MiB came back as something else")

    def test_the_request_arrives_as_it_was(self):
        who = self.client("/room/%C3%BC?a=b&c=%20").who()
        self.assertEqual((who["path"], who["query"]), ("/room/%C3%BC", "a=b&c=%20"))
        self.assertEqual((who["tls"], who["headers"]["host"]), (True, "localhost"))

    def test_the_peer_is_the_client(self):
        for source in ("127.0.0.5", "127.0.0.6"):
            self.assertEqual(self.peer_ip(self.client(source=source)), source)

    def test_a_forged_header_is_not_believed(self):
        connection = self.client(source="127.0.0.5", additional_headers=FORGED)
        self.assertEqual(self.peer_ip(connection), "127.0.0.5")
        self.assertTrue(connection.who()["tls"])

    def peer_ip(self, connection):
        """As the host sees it, without the port if it has one."""
        return connection.who()["peer"].split(":")[0]

    def test_pages_of_the_same_host_may_connect_and_others_not(self):
        self.assertEqual(self.client(origin="https://localhost").ask("hello"), "hello")
        with self.assertRaises(InvalidStatus) as refused:
            self.client(origin="https://other.example")
        self.assertEqual(refused.exception.response.status_code, 403)

    def test_closes_pass_with_their_codes(self):
        connection = self.client()
        connection.close(4321, "bye from the client")
        self.host.says("closed 4321 clean bye from the client\n")
        connection = self.client()
        connection.send("close 4567 bye from the host")
        with self.assertRaises(ConnectionClosed) as closed:
            connection.recv(timeout=SECONDS)
        close = closed.exception.rcvd
        self.assertEqual((close.code, close.reason), (4567, "bye from the host"))
        self.host.says("closed 4567 clean bye from the host\n")

    def test_a_client_that_vanishes_is_noticed(self):
        before = self.host.console.count("closed 1006 cut")
        self.client().socket.close()
        wait_for("the close event", lambda: self.host.console.count("closed 1006 cut") > before)

    def test_the_health_of_the_engine_is_asked_through_it(self):
        answer = http(self.address, "/healthz", tls=True)
        self.assertRegex(answer, r"^HTTP/1.1 200 OK\r\n")
        self.assertTrue(answer.endswith("\r\n\r\nok\n"), answer)

    def test_plain_http_is_led_to_tls(self):
        answer = http(self.plain, "/room?a=b")
        self.assertRegex(answer, r"^HTTP/1.1 301 ")
        self.assertRegex(answer.lower(), r"\r\nlocation: https://localhost/room\?a=b\r\n")


class Patience:
    """With a proxy that cuts what is silent for a second: `start` gives a client behind it."""

    def test_pings_keep_an_idle_connection(self):
        connection = self.start(ping_interval_ms=200)
        # Three seconds, three times what the proxy waits.
        wait_for("15 pings", lambda: connection.pings >= 15)
        self.assertEqual(connection.ask("still here"), "still here")

    def test_without_pings_it_is_cut(self):
        connection = self.start(ping_interval_ms=0)
        with self.assertRaises(ConnectionClosed) as closed:
            connection.recv(timeout=SECONDS)
        self.assertIsNone(closed.exception.rcvd)
