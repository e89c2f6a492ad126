"""Behind nginx with examples/proxy/nginx.conf: TLS ends there, and the host listens on a unix socket."""

import unittest

from websockets.exceptions import InvalidStatus

from behaviour import FORGED, Behaviour, Patience
from stage import GROUP, Host, Stage, certificates, client, free_port

# What Debian's nginx.conf has around a file of conf.d, for a user without rights.
AROUND = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {temp}/body;
    proxy_temp_path       {temp}/proxy;
    fastcgi_temp_path     {temp}/fastcgi;
    uwsgi_temp_path       {temp}/uwsgi;
    scgi_temp_path        {temp}/scgi;
    include {shipped};
}}
"""


def nginx(stage, **values):
    """Starts it; where plain HTTP, TLS, and TLS by IPv6 are."""
    socket = stage.folder / "chat.sock"
    plain, tls, tls6 = ("127.0.0.1", free_port()), ("127.0.0.1", free_port()), ("::1", free_port("::1"))
    shipped = stage.shipped("nginx.conf", {
        "listen 80;": f"listen {plain[0]}:{plain[1]};",
        "listen [::]:80;": f"listen [::1]:{free_port('::1')};",
        "listen 443 ssl;": f"listen {tls[0]}:{tls[1]} ssl;",
        "listen [::]:443 ssl;": f"listen [::1]:{tls6[1]} ssl;",
        "server unix:/run/chat/chat.sock;": f"server unix:{socket};",
        "server_name chat.example.org;": "server_name localhost;",
        "/etc/ssl/chat.example.org.pem;": f"{stage.file('server.pem', certificates().server.read_text())};",
        "/etc/ssl/chat.example.org.key;": f"{stage.file('server.key', certificates().key.read_text())};",
        **values,
    })
    temp = stage.directory("temp")
    main = stage.file("main.conf", AROUND.format(folder=temp, temp=temp, shipped=shipped))
    stage.proxy(["nginx", "-e", "stderr", "-c", main, "-p", stage.folder], [plain, tls, tls6])
    return plain, tls, tls6


def host(stage, **options):
    listen = f"unix:{stage.folder}/chat.sock?mode=0660&group={GROUP}"
    return stage.run(Host(listen, trusted_proxies="unix", **options))


class BehindNginx(Behaviour, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stage = Stage()
        cls.addClassCleanup(cls.stage.close)
        cls.host = host(cls.stage)
        cls.plain, cls.address, cls.address6 = nginx(cls.stage)

    def test_a_peer_of_ipv6_is_known_too(self):
        connection = client(self.address6, source="::1", tls=True)
        self.addCleanup(connection.close)
        self.assertEqual(connection.who()["peer"], "::1")


    def test_headers_that_name_a_client_are_set_and_not_appended_to(self):
        connection = client(self.address, source="127.0.0.5", tls=True, additional_headers=FORGED)
        self.addCleanup(connection.close)
        headers = connection.who()["headers"]
        self.assertEqual((headers["x-forwarded-for"], headers["x-forwarded-proto"]), ("127.0.0.5", "https"))
        self.assertNotIn("forwarded", headers)


class LimitsBehindNginx(unittest.TestCase):
    def test_connections_are_counted_for_the_client_not_for_the_proxy(self):
        stage = Stage()
        self.addCleanup(stage.close)
        host(stage, max_connections_per_ip=1)
        _, address, _ = nginx(stage)
        for source in ("127.0.0.5", "127.0.0.6"):
            self.addCleanup(client(address, source=source, tls=True).close)
        with self.assertRaises(InvalidStatus) as refused:
            client(address, source="127.0.0.5", tls=True)
        self.assertEqual(refused.exception.response.status_code, 503)

    def test_a_unix_socket_is_not_trusted_unless_it_is_said(self):
        stage = Stage()
        self.addCleanup(stage.close)
        stage.run(Host(f"unix:{stage.folder}/chat.sock?mode=0660&group={GROUP}"))
        _, address, _ = nginx(stage)
        connection = client(address, source="127.0.0.5", tls=True)
        self.addCleanup(connection.close)
        who = connection.who()
        self.assertEqual((who["peer"], who["tls"]), ("unix:", False))


class PatienceOfNginx(Patience, unittest.TestCase):
    def start(self, **options):
        stage = Stage()
        self.addCleanup(stage.close)
        host(stage, **options)
        _, address, _ = nginx(stage, **{"proxy_read_timeout 60s;": "proxy_read_timeout 1s;"})
        connection = client(address, tls=True)
        self.addCleanup(connection.close)
        return connection


if __name__ == "__main__":
    unittest.main()
