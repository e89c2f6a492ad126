"""The example scripts on the command line: what they print, and how they end."""

import signal
import socket
import subprocess
import time
import unittest

from client import BINARY, TEXT, Client
from servers import Server, command


def run(example, *arguments):
    return subprocess.run(command(example, *arguments), capture_output=True, text=True, timeout=10)


class TheCommandLine(unittest.TestCase):
    def test_wrong_arguments_get_the_usage(self):
        for example, arguments in (
            ("chat", ["127.0.0.1"]), ("chat", ["127.0.0.1", "http"]), ("chat", ["127.0.0.1", "65536"]),
            ("push", ["127.0.0.1"]), ("push", ["127.0.0.1", "0", "none"]), ("push", ["127.0.0.1", "0", "0"]),
            ("login", ["127.0.0.1"]), ("login", ["127.0.0.1", "-1"]),
            ("ticker", ["127.0.0.1"]), ("ticker", ["127.0.0.1", "x"]),
            ("echo", []), ("echo", ["127.0.0.1"]),
        ):
            with self.subTest(example=example, arguments=arguments):
                result = run(example, *arguments)
                self.assertEqual((result.returncode, result.stdout), (1, ""))
                self.assertRegex(result.stderr, r"\Ausage: php -q server\.php .*\n(ADDRESS .*\n)?\Z")

    def test_a_wrong_option_is_said_in_one_line(self):
        result = run("echo", "127.0.0.1", "0", "many")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, r'\Aoption "io_threads": "many" is not allowed; .*\n\Z')

    def test_a_busy_port_is_said_in_one_line(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for example in ("chat", "push", "login", "ticker", "echo"):
                with self.subTest(example=example):
                    result = run(example, "127.0.0.1", port)
                    self.assertEqual((result.returncode, result.stdout), (1, ""))
                    self.assertRegex(result.stderr, rf"\A.*127\.0\.0\.1:{port}.*\n\Z")

    def test_the_chat_prints_when_and_where(self):
        server = Server("chat")
        self.addCleanup(server.kill)
        server.awaits(r"Server started : \d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
        self.assertEqual(server.url, f"http://127.0.0.1:{server.port}/")
        server.awaits("CTRL-C to quit")

    def test_zero_means_all_addresses(self):
        server = Server("chat", address="0")
        self.addCleanup(server.kill)
        self.assertEqual(server.url, f"http://127.0.0.1:{server.port}/", "an address that a browser can open")
        socket.create_connection(("127.0.0.2", server.port), 5).close()


class TheEcho(unittest.TestCase):
    def setUp(self):
        server = Server("echo")
        self.addCleanup(server.kill)
        self.client = Client(server.port)
        self.addCleanup(self.client.close)

    def test_text_stays_text_and_binary_stays_binary(self):
        for opcode, payload in ((TEXT, "ζ".encode()), (BINARY, bytes(range(256))), (TEXT, b""), (BINARY, b"")):
            self.client.send(opcode, payload)
            self.assertEqual(self.client.receive(), (opcode, payload))

    def test_a_client_that_reads_late_loses_nothing(self):
        # More than the queue of 64 MiB and the sockets' own buffers take.
        count, size = 96, 1 << 20
        for number in range(count):
            self.client.send(BINARY, number.to_bytes(4, "big") * (size // 4))
        for number in range(count):
            opcode, payload = self.client.receive()
            self.assertEqual((opcode, len(payload), payload[:4]), (BINARY, size, number.to_bytes(4, "big")))


class TheCallback(unittest.TestCase):
    def test_what_it_throws_ends_neither_the_server_nor_the_connection(self):
        script = """
            require 'ChatServer.php';
            require 'User.php';
            $echo = fn ($user, $msg, $server) => $msg === 'throw' ? throw new LogicException("on\\npurpose") : $server->send($user, $msg);
            $server = new ChatServer('127.0.0.1', 0, '.', $echo);
            echo $server->url, "\\n";
            $server->run();
        """
        server = Server("chat", script=script)
        self.addCleanup(server.kill)
        client = Client(server.port)
        self.addCleanup(client.close)
        client.send(TEXT, b"throw")
        client.send(TEXT, b"still here")
        # Who is there, which it is told at its open.
        self.assertEqual(client.receive(), (TEXT, b'\x01{"topic":"people","present":[]}\n'))
        self.assertEqual(client.receive(), (TEXT, b"still here"))
        server.awaits(r"error  LogicException: on\?purpose")


class TheEnd(unittest.TestCase):
    def test_ctrl_c_and_sigterm_say_bye_within_a_second(self):
        for example in ("chat", "push", "login", "ticker"):
            for sent in (signal.SIGINT, signal.SIGTERM):
                with self.subTest(example=example, signal=sent.name):
                    server = Server(example)
                    self.addCleanup(server.kill)
                    begin = time.monotonic()
                    self.assertEqual(server.end(sent), 0)
                    self.assertLess(time.monotonic() - begin, 1)
                    self.assertEqual(server.lines[-1], "bye")

    def test_without_pcntl_a_signal_still_ends_them(self):
        for example in ("chat", "push", "login", "ticker"):
            for sent in (signal.SIGINT, signal.SIGTERM):
                with self.subTest(example=example, signal=sent.name):
                    server = Server(example, settings=["disable_functions=pcntl_async_signals"])
                    self.addCleanup(server.kill)
                    begin = time.monotonic()
                    self.assertEqual(server.end(sent), -sent)
                    self.assertLess(time.monotonic() - begin, 1)


if __name__ == "__main__":
    unittest.main()
