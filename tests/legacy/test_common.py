"""What holds for the scripts of every family: addresses, options, names, and how they start and end."""

import socket
import subprocess
import unittest

from stage import COMPAT, Script, php


def run(code, settings=()):
    """A script that ends by itself."""
    code = f"const COMPAT = '{COMPAT}'; require COMPAT . '/../autoload.php'; {code}"
    settings = ["error_reporting=-1", "display_errors=stderr", "log_errors=0", *settings]
    return subprocess.run([*php(settings), "-r", code], capture_output=True, text=True, timeout=10)


class Listening(unittest.TestCase):
    def test_addresses_as_old_constructors_take_them(self):
        places = {
            "'127.0.0.1', 8080": "127.0.0.1:8080",
            "'localhost', '12345'": "localhost:12345",
            "0, 8080": "0.0.0.0:8080",
            "'', 8080": "0.0.0.0:8080",
            "'*', 8080": "0.0.0.0:8080",
            "'::1', 8080": "[::1]:8080",
            "'[::1]', 8080": "[::1]:8080",
            "'::', 8080": "[::]:8080",
            "'tcp://0.0.0.0', 8080": "0.0.0.0:8080",
            "'tcp://127.0.0.1:8080'": "127.0.0.1:8080",
            "'tcp://[::1]:8080'": "[::1]:8080",
            "'ws://localhost:8080/'": "localhost:8080",
            "'127.0.0.1:8080', 9090": "127.0.0.1:9090",
            "'ssl://0.0.0.0:8443'": "tls://0.0.0.0:8443",
            "'unix:///run/chat.sock'": "unix:/run/chat.sock",
        }
        for given, expected in places.items():
            with self.subTest(given=given):
                result = run(f"echo WsEngine\\Compat\\Listening::at({given});")
                self.assertEqual((result.stdout, result.stderr), (expected, ""))

    def test_what_is_set_outside_goes_before_what_the_script_says(self):
        code = "echo json_encode(WsEngine\\Compat\\Listening::options('0', 80, ['max_connections' => 5]));"
        self.assertEqual(run(code).stdout, '{"listen":"0.0.0.0:80","max_connections":5}')
        result = run(code, ["wsengine.listen=127.0.0.1:0", "wsengine.max_connections=7"])
        self.assertEqual(result.stdout, "[]")


class Life(unittest.TestCase):
    START = "$server = WsEngine\\Compat\\Script::listen(['listen' => '%s']);"

    def test_a_busy_port_is_said_in_one_line(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            place = f"127.0.0.1:{taken.getsockname()[1]}"
            result = run(self.START % place + "echo 'started';")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, rf"\A.*{place}.*\n\Z")

    def test_a_wrong_address_is_said_in_one_line(self):
        result = run(self.START % "nowhere" + "echo 'started';")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, r'\Aoption "listen": "nowhere" is not allowed.*\n\Z')

    def test_a_signal_handler_of_the_script_stays(self):
        script = Script(code="require COMPAT . '/../autoload.php';" + self.START % "127.0.0.1:0" + """
            pcntl_signal(SIGTERM, function () use ($server) { echo "mine\\n"; $server->stop(0.5); });
            $server->on('message', fn ($connection, $text) => $connection->send($text));
            WsEngine\\Compat\\Script::run($server);
            echo "after\\n";
        """)
        self.addCleanup(script.kill)
        with script.client() as client:
            self.assertEqual(client.ask("there?"), "there?")
            self.assertEqual(script.terminate(), 0)
            self.assertEqual(client.closed(), (1001, ""))
        self.assertEqual(script.lines[-2:], ["mine", "after"])


class Names(unittest.TestCase):
    DECLARE = "WsEngine\\Compat\\Names::declare('callback.php', ['Thing' => WsEngine\\Compat\\Socket::class]);"

    def test_declaring_twice_is_nothing_new(self):
        result = run(self.DECLARE * 2 + "echo get_class(new Thing(1)), ' ', new Thing(2);")
        self.assertEqual((result.stdout, result.stderr), ("WsEngine\\Compat\\Socket Resource id #2", ""))

    def test_a_name_that_is_taken_is_an_error(self):
        result = run("class Thing {} try { " + self.DECLARE + "} catch (LogicException $e) { echo $e->getMessage(); }")
        self.assertRegex(result.stdout, r"^callback\.php declares Thing, but .* has declared it before")


class Sockets(unittest.TestCase):
    def test_a_socket_is_found_in_what_scripts_pass(self):
        code = """
            use WsEngine\\Compat\\Socket;
            $socket = new Socket(7);
            $user = (object) ['socket' => $socket];
            var_dump(Socket::of($socket) === $socket, Socket::of($user) === $socket, Socket::of(new stdClass()),
                Socket::of(7), Socket::of(null), $socket == new Socket(8),
                array_search($socket, [new Socket(6), $socket]));
        """
        result = run(code)
        self.assertEqual(result.stdout.split(), "bool(true) bool(true) NULL NULL NULL bool(false) int(1)".split())
        self.assertEqual(result.stderr, "")


if __name__ == "__main__":
    unittest.main()
