"""Behind HAProxy with examples/proxy/haproxy.cfg: TLS is passed through, a header names the client."""

import unittest

from behaviour import Behaviour, Patience
from stage import Host, Stage, certificates, client, free_port

TRUSTED = {"trusted_proxies": "127.0.0.1"}


def haproxy(stage, host, **values):
    """Starts it; the process, and where plain HTTP, TLS, and TLS by IPv6 are."""
    plain, tls, tls6 = ("127.0.0.1", free_port()), ("127.0.0.1", free_port()), ("::1", free_port("::1"))
    shipped = stage.shipped("haproxy.cfg", {
        "bind :80": f"bind 127.0.0.1:{plain[1]}",
        "bind [::]:80": f"bind [::1]:{free_port('::1')}",
        "bind :443": f"bind 127.0.0.1:{tls[1]}",
        "bind [::]:443": f"bind [::1]:{tls6[1]}",
        "server chat1 127.0.0.1:8443": f"server chat1 127.0.0.1:{host.port()}",
        "maxconn 20000": "maxconn 100",
        **values,
    })
    process = stage.proxy(["haproxy", "-db", "-f", shipped], [plain, tls, tls6])
    return process, plain, tls, tls6


def tls_host(port=0, **options):
    made = certificates()
    return Host(f"tls://127.0.0.1:{port}?proxy", tls_cert=made.server, tls_key=made.key, **TRUSTED, **options)


class BehindHaproxy(Behaviour, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stage = Stage()
        cls.addClassCleanup(cls.stage.close)
        cls.host = cls.stage.run(tls_host())
        _, cls.plain, cls.address, cls.address6 = haproxy(cls.stage, cls.host)

    def test_the_port_of_the_client_is_known_too(self):
        for address, source in ((self.address, "127.0.0.5"), (self.address6, "::1")):
            connection = client(address, source=source, tls=True)
            self.addCleanup(connection.close)
            ip, port = connection.socket.getsockname()[:2]
            self.assertEqual(connection.who()["peer"], f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}")


class HealthByHaproxy(unittest.TestCase):
    def test_a_server_that_stops_is_seen_and_one_that_comes_back_too(self):
        stage = Stage()
        self.addCleanup(stage.close)
        first = stage.run(tls_host())
        # A check must be over within the interval too: not so short that a busy machine seems to be down.
        process, *_, address, _ = haproxy(stage, first, **{"check inter 2s": "check inter 300ms"})
        self.addCleanup(client(address, tls=True).close)
        first.stop()
        process.says("Server chat/chat1 is DOWN")
        stage.run(tls_host(first.port()))
        process.says("Server chat/chat1 is UP, reason: Layer7 check passed, code: 200")
        connection = client(address, tls=True)
        self.addCleanup(connection.close)
        self.assertEqual(connection.ask("back"), "back")


class PatienceOfHaproxy(Patience, unittest.TestCase):
    def start(self, **options):
        stage = Stage()
        self.addCleanup(stage.close)
        host = stage.run(tls_host(**options))
        short = {"timeout client  60s": "timeout client 1s", "timeout server  60s": "timeout server 1s"}
        _, _, address, _ = haproxy(stage, host, **short)
        connection = client(address, tls=True)
        self.addCleanup(connection.close)
        return connection


if __name__ == "__main__":
    unittest.main()
