"""The extension under every interface that PHP has: where no server may live it says so and does no harm, and where
one may it works, in the interactive shell, with opcache, its JIT and preloading as well."""

import glob
import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

import fastcgi

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "target/release/libwsengine_php.so"
LIBRARY = ROOT / "php-ext/lib"
SECONDS = 10
REQUESTS = 50

sys.path.insert(0, str(ROOT / "tests/browser"))
from client import TEXT, Client  # noqa: E402

PAGE = """<?php
try {
    ws_server_start("127.0.0.1:0");
} catch (WsEngine\\Exception $e) {
    echo get_class($e), ": ", $e->getMessage(), "\\n";
}
try {
    ws_send(1, "x");
} catch (WsEngine\\Exception $e) {
    echo $e->getMessage(), "\\n";
}
ob_start();
phpinfo(INFO_MODULES);
echo preg_match("/not fit for servers/", ob_get_clean());
"""


def program(pattern):
    """The newest of the programs that match, such as php-fpm8.2."""
    found = sorted(glob.glob(pattern))
    if not found:
        raise FileNotFoundError(f"there is no {pattern}: scripts/setup.sh test installs it")
    return found[-1]


def wait_for(what, ready):
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if ready():
            return
        time.sleep(0.01)
    raise TimeoutError(f"waited {SECONDS} s for {what}")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def listens(address, family=socket.AF_INET):
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0


class WebServers(unittest.TestCase):
    """A web server's PHP serves pages and no connections."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="wsengine-")
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.directory.chmod(0o755)
        self.page = self.directory / "page.php"
        self.page.write_text(PAGE)
        (self.directory / "wsengine.ini").write_text(f"extension={EXTENSION}\n")

    def start(self, command):
        log = (self.directory / "log").open("w")
        self.addCleanup(log.close)
        environment = {**os.environ, "PHP_INI_SCAN_DIR": str(self.directory)}
        # Apache ends by a signal to its whole process group, which must not be ours.
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        return server

    def check(self, server, interface, fetch, stop):
        answers = {fetch() for _ in range(REQUESTS)}
        self.assertEqual(len(answers), 1, answers)
        refusal, no_server, unfit = answers.pop().split("\n")
        self.assertIn("WsEngine\\Exception: ws_server_start() needs a process that lives as long", refusal)
        self.assertIn(f'"{interface}"', refusal)
        self.assertIn("php server.php", refusal)
        self.assertIn("ws_send(): no server has been started", no_server)
        self.assertEqual(unfit, "1")
        server.send_signal(stop)
        self.assertEqual(server.wait(SECONDS), 0)

    def test_fpm(self):
        listen = self.directory / "fpm.sock"
        configuration = self.directory / "fpm.conf"
        configuration.write_text(
            f"[global]\nerror_log = /dev/stderr\n[www]\nuser = www-data\nlisten = {listen}\n"
            "pm = static\npm.max_children = 2\n"
        )
        fpm = program("/usr/sbin/php-fpm*")
        server = self.start([fpm, "--nodaemonize", "--allow-to-run-as-root", "--fpm-config", configuration])
        # The file is there a moment before anybody may connect.
        wait_for("php-fpm", lambda: listens(str(listen), socket.AF_UNIX))
        self.check(server, "fpm-fcgi", lambda: fastcgi.get(listen, self.page), signal.SIGQUIT)

    def test_apache(self):
        port = free_port()
        modules = Path("/usr/lib/apache2/modules")
        php = program(f"{modules}/libphp*.so")
        (self.directory / "apache.conf").write_text(
            f"ServerName localhost\nListen 127.0.0.1:{port}\nPidFile {self.directory}/pid\nErrorLog {self.directory}/errors\n"
            f"User www-data\nDocumentRoot {self.directory}\n"
            f"LoadModule mpm_prefork_module {modules}/mod_mpm_prefork.so\n"
            f"LoadModule authz_core_module {modules}/mod_authz_core.so\n"
            f"LoadModule mime_module {modules}/mod_mime.so\n"
            f"LoadModule php_module {php}\n"
            f"TypesConfig /dev/null\nAddType application/x-httpd-php .php\n"
        )
        command = ["/usr/sbin/apache2", "-d", self.directory, "-f", self.directory / "apache.conf", "-DFOREGROUND"]
        server = self.start(command)
        wait_for("Apache", lambda: listens(("127.0.0.1", port)))

        def fetch():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/page.php", timeout=SECONDS) as answer:
                return answer.read().decode()

        self.check(server, "apache2handler", fetch, signal.SIGWINCH)


class CommandLine(unittest.TestCase):
    """Where a server may live, whatever PHP does with the code."""

    def echo(self, line, messages=1):
        client = Client(int(line.rsplit(":", 1)[1]))
        self.addCleanup(client.close)
        for number in range(messages):
            client.send(TEXT, b"message %d" % number)
            self.assertEqual(client.receive(), (TEXT, b"message %d" % number))

    def php(self, script, *options):
        command = ["php", "-q", "-d", f"extension={EXTENSION}"]
        for option in options:
            command += ["-d", option]
        process = subprocess.Popen([*command, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def write(self, text):
        script = tempfile.NamedTemporaryFile("w", suffix=".php", prefix="wsengine-")
        self.addCleanup(script.close)
        script.write(text)
        script.flush()
        return script.name

    def test_the_interactive_shell(self):
        near, far = pty.openpty()
        shell = subprocess.Popen(
            ["php", "-d", f"extension={EXTENSION}", "-a"], stdin=far, stdout=far, stderr=far, start_new_session=True
        )
        os.close(far)
        self.addCleanup(os.close, near)
        self.addCleanup(shell.wait)
        self.addCleanup(shell.kill)
        output = ""

        def read_until(word):
            nonlocal output
            while word not in output:
                output += os.read(near, 65536).decode(errors="replace")
            line, _, output = output.partition(word)
            return line

        def type_in(line):
            os.write(near, line.encode() + b"\n")

        read_until("php >")
        type_in("echo 'at ' . ws_server_start('127.0.0.1:0')->address . ' now';")
        # The shell shows what was typed too.
        read_until("at 127.0.0.1:")
        port = int(read_until(" now"))
        client = Client(port)
        self.addCleanup(client.close)
        client.send(TEXT, b"hello")
        type_in("foreach ([1, 2] as $n) { $event = ws_poll_event(5); } ws_send($event->conn, strrev($event->data));")
        self.assertEqual(client.receive(), (TEXT, b"olleh"))
        type_in("exit")
        self.assertEqual(client.receive()[1][:2], (1001).to_bytes(2, "big"))
        client.close()
        self.assertEqual(shell.wait(SECONDS), 0)

    ECHO = """<?php
        echo ws_server_start('127.0.0.1:0')->address, "\\n";
        function answer(WsEngine\\Event $event): void {
            if ($event->type === WsEngine\\Event::MESSAGE) ws_send($event->conn, $event->data, $event->binary);
        }
        while (true) foreach (ws_poll_events() as $event) answer($event);
    """

    def test_opcache_and_its_jit(self):
        for jit in ("disable", "tracing", "function"):
            with self.subTest(jit):
                settings = ["opcache.enable_cli=1", "opcache.jit_buffer_size=64M", f"opcache.jit={jit}"]
                server = self.php(self.write(self.ECHO), *settings)
                self.echo(server.stdout.readline(), messages=5000)
                server.send_signal(signal.SIGTERM)
                self.assertEqual(server.wait(SECONDS), -signal.SIGTERM)
                self.assertEqual(server.stderr.read(), "")

    def test_preloading(self):
        preload = self.write(
            f"<?php foreach (glob('{LIBRARY}/*.php') as $file) opcache_compile_file($file);\n"
            "class Mine extends WsEngine\\Exception {}\n"
            # A server of the preloading script ends with it.
            "ws_server_start('127.0.0.1:0');"
        )
        script = self.write(
            "<?php $server = WsEngine\\Server::listen('127.0.0.1:0');\n"
            "echo $server->info->address, \"\\n\";\n"
            "$server->on('message', function ($connection, $data) { if ($data === 'message 1') throw new Mine('mine');"
            " $connection->send($data); })->on('error', fn ($e, $c) => $c->send(get_class($e)))->run();"
        )
        server = self.php(
            script, "opcache.enable_cli=1", f"opcache.preload={preload}", "opcache.preload_user=root",
            "opcache.jit_buffer_size=16M",
        )
        line = server.stdout.readline()
        self.assertIn(":", line, server.stderr.read() if not line else "")
        client = Client(int(line.rsplit(":", 1)[1]))
        self.addCleanup(client.close)
        client.send(TEXT, b"message 0")
        client.send(TEXT, b"message 1")
        self.assertEqual([client.receive()[1] for _ in range(2)], [b"message 0", b"Mine"])
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(SECONDS), -signal.SIGTERM)
        self.assertEqual(server.stderr.read(), "")


if __name__ == "__main__":
    unittest.main()
