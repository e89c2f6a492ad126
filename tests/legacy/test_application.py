"""Family "application": $server->registerApplication('chat', …) and $server->run()."""

import json
import signal
import subprocess
import unittest

from stage import COMPAT, Script, lines, php, say, wait_for, windows
from websockets.exceptions import InvalidStatus

BEGIN = "require COMPAT . '/application.php'; "
OLD = BEGIN + """
    class App extends \\WebSocket\\Application\\Application {
        public $ticks = 0;
        public function onTick() { $this->ticks++; }
        public function onConnect($client) { $client->log('in'); }
        public function onDisconnect($client) { $client->log('out'); }
        public function onData($data, $client) { %s }
    }
    $server = new \\WebSocket\\Server('127.0.0.1', 0, false);
    $server->setCheckOrigin(false);
    $server->registerApplication('app', App::getInstance());
"""
RUN = "$server->run(); echo \"after\\n\";"


def status(script, path, **options):
    """The HTTP status that the handshake gets."""
    try:
        with script.client(path, **options):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


class Example(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ada, cls.grace = windows(cls)

    def setUp(self):
        self.script = Script("application")
        self.addCleanup(self.script.kill)

    def test_two_windows_and_a_client_chat(self):
        for browser, name in ((self.ada, "Ada"), (self.grace, "Grace")):
            self.script.open(browser, "/chat")
            wait_for(lambda: lines(browser) == ["What is your name?"], "the question")
            say(browser, name)
            wait_for(lambda: lines(browser)[-1].startswith(f"{name} has come in"), "the welcome")
        self.assertEqual(lines(self.grace)[-1], "Grace has come in, 2 are here.")
        with self.script.client("/chat") as client:
            self.assertEqual(client.receive(), "What is your name?")
            self.assertEqual(client.ask("Lin"), "Lin has come in, 3 are here.")
            say(self.ada, "καλημέρα 👋")
            for browser in (self.ada, self.grace):
                wait_for(lambda: lines(browser)[-1] == "Ada: καλημέρα 👋", "the message")
            self.assertEqual(client.receive(), "Ada: καλημέρα 👋")
            self.ada.click("#disconnect")
            self.assertEqual(client.receive(), "Ada has left.")
        self.assertEqual(self.ada.console() + self.grace.console(), [])
        self.assertEqual(self.script.complaints(), [])

    def test_the_path_chooses(self):
        with self.script.client("/echo?x=1") as client:
            self.assertEqual(client.ask("it"), "it")
            client.send(b"binary")
            self.assertEqual(client.closed()[0], 1003)
        self.assertEqual([status(self.script, path) for path in ("/", "/nothing", "/chat/x")], [404, 404, 404])

    def test_a_signal_ends_it_with_a_goodbye(self):
        with self.script.client("/echo") as client:
            self.assertEqual(client.ask("there?"), "there?")
            self.assertEqual(self.script.end(signal.SIGTERM), 0)
            self.assertEqual(client.closed(), (1001, ""))
        self.assertEqual(self.script.lines[-1], "bye")


class Surface(unittest.TestCase):
    def run_with(self, code, settings=()):
        script = Script(code=code + RUN, settings=settings)
        self.addCleanup(script.kill)
        return script

    def test_what_applications_read_of_a_client(self):
        script = self.run_with(OLD % """
            $client->channel = $data;
            $client->send(json_encode([
                $client->getClientIp(), $client->getClientPort() > 0, preg_match('/^[0-9a-f]{32}$/', $client->getClientId()),
                $client->getClientApplication() === $this, is_object($client->getClientSocket()),
                $this->decodeData('{"action": "a", "data": [1]}'), $this->decodeData('{}'), $this->_decodeData('5'),
                $this->encodeData('a', 1), $this->_encodeData('', 1),
            ]));
        """)
        with script.client("/app") as client:
            self.assertEqual(json.loads(client.ask("?")), [
                "127.0.0.1", True, 1, True, True, {"action": "a", "data": [1]}, False, False, '{"action":"a","data":1}', False,
            ])
            port = client.websocket.local_address[1]
        wait_for(lambda: script.says(rf"\[info\] \[client 127\.0\.0\.1:{port}\] out"), "the end")
        script.awaits(rf"\[client 127\.0\.0\.1:{port}\] Connected\n.*\[client .*:{port}\] in\n")
        self.assertEqual(script.complaints(), [])

    def test_closing_tells_the_application_at_once_and_once(self):
        script = self.run_with(OLD % """
            $client->log('before'); $client->close((int) $data); $client->log('behind'); $client->close();
        """)
        for says, code in (("1000", 1000), ("4001", 4001), ("1004", 1009)):
            with script.client("/app") as client:
                client.send(says)
                self.assertEqual(client.closed()[0], code)
        wait_for(lambda: len(events(script)) == 12, "the ends")
        self.assertEqual(events(script), ["in", "before", "out", "behind"] * 3)

    def test_after_close_there_are_no_more_messages(self):
        script = self.run_with(OLD % 'usleep(200000); echo "got $data\\n"; $client->close();')
        with script.client("/app") as client:
            client.send_together("one", "two, while the script is busy with one")
            self.assertEqual(client.closed(), (1000, ""))
        self.assertEqual(script.terminate(), 0)
        self.assertEqual([line for line in script.lines if line.startswith("got")], ["got one"])

    def test_types_of_messages(self):
        script = self.run_with(OLD % """
            $client->send('text'); $client->send("\\x00\\xff", 'binary'); $client->send('', 'ping'); $client->send(5);
            $client->send(pack('n', 4002), 'close');
        """)
        with script.client("/app") as client:
            self.assertEqual([client.ask("?"), client.receive(), client.receive()], ["text", b"\x00\xff", "5"])
            self.assertEqual(client.closed()[0], 4002)
        self.assertEqual(script.complaints(), [])

    def test_binary_messages_have_a_method_of_their_own(self):
        script = self.run_with(BEGIN + """
            class App extends \\WebSocket\\Application\\Application {
                public function onData($data, $client) { $client->send('text'); }
                public function onBinaryData($data, $client) { $client->send(bin2hex($data)); }
            }
            $server = new \\WebSocket\\Server('127.0.0.1', 0);
            $server->registerApplication('app', App::getInstance());
        """)
        with script.client("/app") as client:
            self.assertEqual([client.ask("x"), client.ask(b"\x01\x02")], ["text", "0102"])

    def test_limits(self):
        limits = "$server->setMaxClients(2); $server->setMaxRequestsPerMinute(3);"
        script = self.run_with(OLD % "$client->send($data);" + limits)
        with script.client("/app") as client, script.client("/app"):
            self.assertEqual(status(script, "/app"), 503)
            self.assertEqual([client.ask(text) for text in "abc"], ["a", "b", "c"])
            client.send("d")
            self.assertEqual(client.closed()[0], 1000)
        script = self.run_with(OLD % "" + "$server->setMaxConnectionsPerIp(1);")
        with script.client("/app"):
            self.assertEqual(status(script, "/app"), 503)
        script = self.run_with(OLD % "$client->send(json_encode([50, 30, 5]));")
        with script.client("/app") as client:
            for _ in range(50):
                client.ask("within the default")
            client.send("too many")
            self.assertEqual(client.closed()[0], 1000)

    def test_origins(self):
        def statuses(code, *origins):
            script = self.run_with(OLD.replace("$server->setCheckOrigin(false);", code) % "")
            return [status(script, "/app", origin=origin) for origin in origins]

        page = "https://elsewhere.example"
        self.assertEqual(statuses("$server->setCheckOrigin(false);", page, None), [101, 101])
        self.assertEqual(statuses("", page, "http://127.0.0.1"), [403, 101], "nobody was named: the same host")
        named = "$server->setAllowedOrigin('foo.example'); $server->setAllowedOrigin('https://www.bar.example/x');"
        self.assertEqual(statuses(named, page, "http://foo.example", "https://www.foo.example", "https://bar.example",
                                  "http://foo.example:81", "http://xfoo.example"), [403, 101, 101, 101, 403, 403])

    def test_timers_and_ticks(self):
        script = self.run_with(OLD % "" + """
            $start = microtime(true);
            $server->addTimer(1000, function () use ($start) { printf("timer %d\\n", (microtime(true) - $start) * 1000); });
            $server->addTimer(1, fn () => App::getInstance()->ticks > 0 && print("ticked\\n"));
        """)
        wait_for(lambda: script.says("ticked"), "the tick")
        wait_for(lambda: sum(line.startswith("timer") for line in script.lines) > 2, "the timer")
        times = [int(line.split()[1]) for line in script.lines if line.startswith("timer")]
        self.assertLess(times[0], 900, "the first comes at once")

    def test_what_an_application_throws_ends_nobody(self):
        script = self.run_with(OLD % """
            if ($data === 'throw') { throw new LogicException('on purpose'); }
            $client->send($data);
        """)
        with script.client("/app") as client:
            client.send("throw")
            self.assertEqual(client.ask("still here"), "still here")
        script.awaits("LogicException: on purpose")

    def test_the_status_application_hears_of_everybody(self):
        app = """
            class Status extends \\{0}\\Application\\Application {{
                public function setServerInfo(array $info) {{ echo json_encode($info), "\\n"; }}
                public function clientConnected(string $ip, int $port) {{ echo "connected\\n"; }}
                public function clientActivity({1} $client) {{ echo "activity $client\\n"; }}
                public function clientDisconnected(string $ip, int $port) {{ echo "disconnected\\n"; }}
            }}
            class App extends \\{0}\\Application\\Application {{}}
            $server = new \\{0}\\Server('127.0.0.1', 0);
            $server->registerApplication('status', Status::getInstance());
            $server->registerApplication('app', App::getInstance());
        """
        for namespace, client in (("WebSocket", "int"), ("Bloatless\\WebSocket", "string")):
            with self.subTest(namespace=namespace):
                script = self.run_with(BEGIN + app.format(namespace, client))
                with script.client("/app") as websocket:
                    websocket.send("x")
                    port = websocket.websocket.local_address[1]
                wait_for(lambda: script.says("disconnected"), "the end")
                name = port if client == "int" else f"127.0.0.1:{port}"
                script.awaits(rf"connected\n(.*\n)*activity {name}\n(.*\n)*disconnected")
                script.awaits('{"maxClients":30,"maxConnectionsPerIp":5')
                self.assertEqual(script.complaints(), [])

    def test_the_later_generation(self):
        script = self.run_with(BEGIN + """
            use Bloatless\\WebSocket\\Application\\Application;
            use Bloatless\\WebSocket\\Connection;
            class Logger { public function log($level, $message, array $context = []): void { echo "$level: $message\\n"; } }
            class Chat extends Application {
                private array $clients = [];
                public function onConnect(Connection $connection): void { $this->clients[] = $connection; }
                public function onDisconnect(Connection $connection): void {}
                public function onIPCData(array $data): void {}
                public function onData(string $data, Connection $client): void {
                    try {
                        $client->send($this->encodeData('echo', $this->decodeData($data)['data']));
                    } catch (RuntimeException | InvalidArgumentException $e) {
                        $client->send(get_class($e));
                    }
                }
            }
            $server = new \\Bloatless\\WebSocket\\Server('127.0.0.1', 0, 'phpwss.sock');
            $server->setLogger(new Logger());
            $server->registerApplication('chat', Chat::getInstance());
        """)
        with script.client("/chat") as client:
            self.assertEqual(client.ask('{"action": "echo", "data": 7}'), '{"action":"echo","data":7}')
            for _ in range(60):
                self.assertEqual(client.ask("no JSON"), "RuntimeException", "without a limit a minute")
        script.awaits("info: .client 127.0.0.1:.*Connected")
        self.assertEqual(script.complaints(), [])

    def test_mistakes_are_said_in_one_line(self):
        for code, said in (
            (BEGIN + "new \\WebSocket\\Server('127.0.0.1', 0, true);", r"third argument"),
            (BEGIN + "(new \\Bloatless\\WebSocket\\Server('127.0.0.1', 0))->run();", r"without an application"),
        ):
            with self.subTest(said=said):
                code = f"const COMPAT = '{COMPAT}'; {code}"
                result = subprocess.run([*php(), "-r", code], capture_output=True, text=True, timeout=10)
                self.assertEqual(result.returncode, 1)
                self.assertRegex(result.stderr, rf"\A.*{said}.*\n\Z")


def events(script):
    """What the application logged of its clients."""
    return [line.split("] ")[-1] for line in script.lines if "[client" in line and "onnected" not in line]


if __name__ == "__main__":
    unittest.main()
