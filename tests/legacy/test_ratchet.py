"""Family "ratchet": components of Ratchet, with Ratchet installed or not."""

import json
import signal
import subprocess
import unittest

from stage import COMPAT, Script, lines, php, say, wait_for, windows
from websockets.exceptions import InvalidStatus

REQUIRE = "require COMPAT . '/ratchet.php'; "
CHAT = """
    use Ratchet\\ConnectionInterface;
    class Chat implements Ratchet\\MessageComponentInterface {
        public $clients;
        function __construct() { $this->clients = new SplObjectStorage; }
        function onOpen(ConnectionInterface $conn) { $this->clients->attach($conn); %s }
        function onMessage(ConnectionInterface $from, $msg) { %s }
        function onClose(ConnectionInterface $conn) { $this->clients->detach($conn); echo "closed $conn->resourceId\\n"; }
        function onError(ConnectionInterface $conn, \\Exception $e) { echo "error {$e->getMessage()}\\n"; }
    }
"""
FACTORY = """
    $server = Ratchet\\Server\\IoServer::factory(
        new Ratchet\\Http\\HttpServer(new Ratchet\\WebSocket\\WsServer(new Chat())), 0, '127.0.0.1');
"""
RUN = "$server->run(); echo \"after\\n\";"
ECHO = "$from->send($msg);"


def status(script, path="/", host="localhost", **options):
    """The HTTP status that the handshake gets."""
    try:
        with script.client(path, host=host, **options):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


class Example(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ada, cls.grace = windows(cls)

    def setUp(self):
        self.script = Script("ratchet")
        self.addCleanup(self.script.kill)

    def test_two_windows_and_a_client_chat(self):
        for browser, name in ((self.ada, "Ada"), (self.grace, "Grace")):
            self.script.open(browser, f"/?name={name}")
            wait_for(lambda: lines(browser) == [f"You are {name}."], "the welcome")
        wait_for(lambda: lines(self.ada)[-1] == "Grace has come in.", "the news")
        with self.script.client() as client:
            self.assertEqual(client.receive(), "You are guest 3.")
            say(self.ada, "καλημέρα 👋")
            wait_for(lambda: lines(self.ada)[-1] == "You: καλημέρα 👋", "the echo")
            wait_for(lambda: lines(self.grace)[-1] == "Ada: καλημέρα 👋", "the message")
            self.assertEqual(client.receive(), "Ada: καλημέρα 👋")
            self.ada.click("#disconnect")
            self.assertEqual(client.receive(), "Ada has left.")
            self.assertEqual(self.script.end(signal.SIGTERM), 0)
            while (last := client.closed()) != (1001, ""):
                self.assertEqual(last, "Grace has left.")
        self.assertEqual(self.ada.console() + self.grace.console(), [])
        self.assertTrue(self.script.says("Ada came from 127.0.0.1"))
        self.assertEqual(self.script.lines[-1], "bye")
        self.assertEqual(self.script.complaints(), [])


class Components(unittest.TestCase):
    def run_with(self, code, settings=()):
        script = Script(code=code + RUN, settings=settings)
        self.addCleanup(script.kill)
        return script

    def test_a_connection_is_one_object_for_its_life(self):
        script = self.run_with(REQUIRE + CHAT % ("$conn->seen = 0;", """
            $from->seen++;
            $from->send(json_encode([$this->clients->contains($from), count($this->clients), $from->seen,
                $from->resourceId, $from->remoteAddress, $from->WebSocket->closing]))->send('chained');
        """) + FACTORY)
        with script.client() as client, script.client() as other:
            self.assertEqual(json.loads(client.ask("x")), [True, 2, 1, 1, "127.0.0.1", False])
            self.assertEqual(client.receive(), "chained")
            self.assertEqual(json.loads(client.ask("x"))[2], 2)
            self.assertEqual(json.loads(other.ask("x"))[3], 2)
        self.assertEqual(script.complaints(), [])

    def test_closing(self):
        script = self.run_with(REQUIRE + CHAT % ("", """
            $frame = new Ratchet\\RFC6455\\Messaging\\Frame(pack('n', 4005) . 'why', true, 8);
            $before = $from->WebSocket->closing;
            $from->close($msg === 'frame' ? $frame : (int) $msg);
            echo json_encode([$before, $from->WebSocket->closing]), "\\n";
            $from->send('too late')->close();
        """) + FACTORY)
        for said, end in (("4000", (4000, "")), ("1000", (1000, "")), ("frame", (4005, "why"))):
            with script.client() as client:
                client.send(said)
                self.assertEqual(client.closed(), end)
        wait_for(lambda: script.says("closed 3"), "the ends")
        said = [line for line in script.lines if "wsengine" not in line]
        self.assertEqual(said, [line for n in (1, 2, 3) for line in ("[false,true]", f"closed {n}")])

    def test_after_close_there_are_no_more_messages(self):
        script = self.run_with(REQUIRE + CHAT % ("", 'usleep(200000); echo "got $msg\\n"; $from->close();') + FACTORY)
        with script.client() as client:
            client.send_together("one", "two, while the script is busy with one")
            self.assertEqual(client.closed(), (1000, ""))
        self.assertEqual(script.terminate(), 0)
        self.assertEqual([line for line in script.lines if line.startswith("got")], ["got one"])

    def test_binary_messages(self):
        script = self.run_with(REQUIRE + CHAT % ("", """
            $from->send(new Ratchet\\RFC6455\\Messaging\\Frame($msg, true, Ratchet\\RFC6455\\Messaging\\Frame::OP_BINARY));
            $from->send(new Ratchet\\RFC6455\\Messaging\\Frame('ping', true, Ratchet\\RFC6455\\Messaging\\Frame::OP_PING));
            $from->send($msg);
        """) + FACTORY)
        with script.client() as client:
            self.assertEqual([client.ask(b"\x00\xff"), client.receive()], [b"\x00\xff", b"\x00\xff"])
            self.assertEqual([client.ask("text"), client.receive()], [b"text", "text"])
        self.assertEqual(script.complaints(), [])

    def test_components_that_take_messages_as_objects(self):
        code = """
            use Ratchet\\RFC6455\\Messaging\\MessageInterface;
            class Chat implements Ratchet\\WebSocket\\MessageComponentInterface {
                function onOpen(Ratchet\\ConnectionInterface $conn) {}
                function onMessage(Ratchet\\ConnectionInterface $from, MessageInterface $msg) {
                    $from->send(get_class($msg) . json_encode([$msg->isBinary(), bin2hex($msg->getPayload()), count($msg)]));
                    $from->send($msg);
                }
                function onClose(Ratchet\\ConnectionInterface $conn) {}
                function onError(Ratchet\\ConnectionInterface $conn, \\Exception $e) {}
            }
        """
        for before, name in (("", "WsEngine\\Compat\\Ratchet\\Frame"), (INSTALLED, "Ratchet\\RFC6455\\Messaging\\Message")):
            with self.subTest(message=name):
                script = self.run_with(before + REQUIRE + code + FACTORY)
                with script.client() as client:
                    self.assertEqual([client.ask("ab"), client.receive()], [name + '[false,"6162",1]', "ab"])
                    self.assertEqual([client.ask(b"\xff"), client.receive()], [name + '[true,"ff",1]', b"\xff"])
                self.assertEqual(script.complaints(), [])

    def test_interfaces_that_are_installed_are_used(self):
        script = self.run_with(INSTALLED + REQUIRE + CHAT % ("", """
            $from->send((new ReflectionClass('Ratchet\\\\ConnectionInterface'))->getConstant('VERSION')
                . json_encode($from instanceof Ratchet\\ConnectionInterface));
        """) + FACTORY)
        with script.client() as client:
            self.assertEqual(client.ask("?"), "installedtrue")

    def test_exceptions_go_to_on_error_and_errors_to_standard_error(self):
        script = self.run_with(REQUIRE + CHAT % ("if (count($this->clients) === 2) { throw new Exception('in open'); }", """
            if ($msg === 'exception') { throw new RuntimeException('in message'); }
            if ($msg === 'error') { nothing(); }
            $from->send($msg);
        """) + FACTORY)
        with script.client() as client, script.client() as other:
            client.send("exception")
            client.send("error")
            self.assertEqual(client.ask("still here"), "still here")
            self.assertEqual(other.ask("here too"), "here too")
        script.awaits("error in open")
        script.awaits("error in message")
        script.awaits(r"Error: Call to undefined function nothing\(\)")

    def test_subprotocols(self):
        script = self.run_with(REQUIRE + CHAT % ("", ECHO) + """
            class Speaker extends Chat implements Ratchet\\WebSocket\\WsServerInterface {
                function getSubProtocols() { return ['v1', 'v2']; }
            }
            $app = new Ratchet\\App('localhost', 0);
            $app->route('/strict', new Speaker(), ['*']);
            $app->route('/lax', new Speaker(), ['*'])->setStrictSubProtocolCheck(false);
            $server = $app;
        """)
        with script.client("/strict", host="localhost", subprotocols=["v2", "v1"]) as client:
            self.assertEqual(client.websocket.subprotocol, "v2", "the client's favourite")
        self.assertEqual(status(script, "/strict", subprotocols=["v3"]), 426)
        self.assertEqual(status(script, "/strict"), 426)
        self.assertEqual(status(script, "/lax"), 101)

    def test_an_app_has_paths_hosts_and_origins(self):
        script = self.run_with(REQUIRE + CHAT % ("", "$from->send($from->httpRequest->getUri()->getQuery());") + """
            $server = new Ratchet\\App('localhost', 0, '127.0.0.1');
            $server->route('/own', new Chat());
            $server->route('/some', new Chat(), ['shop.example', 'www.shop.example']);
            $server->route('/all', new Chat(), ['*']);
            $server->route('/ip', new Chat(), ['*'], '127.0.0.1');
            $server->route('/room/{room}/{seat}', new Chat(), ['*']);
        """)
        page, shop = "http://localhost:8000", "https://shop.example"
        paths = ("/own", "/some", "/all", "/no")
        got = [status(script, path, origin=origin) for path in paths for origin in (page, shop, None)]
        self.assertEqual(got, [101, 403, 403, 403, 101, 403, 101, 101, 101, 404, 404, 404])
        self.assertEqual(status(script, "/all", host="127.0.0.1"), 404, "by another name of the host")
        self.assertEqual(status(script, "/ip", host="127.0.0.1"), 101)
        with script.client("/room/a%20b/7?x=1", host="localhost") as client:
            self.assertEqual(client.ask("?"), "room=a+b&seat=7&x=1")
        self.assertEqual(status(script, "/room/a/b/c"), 404)

    def test_the_loop(self):
        script = self.run_with(REQUIRE + CHAT % ("", ECHO) + FACTORY + """
            $server->loop->futureTick(function () { echo "tick\\n"; });
            $never = $server->loop->addTimer(0.02, function () { echo "never\\n"; });
            $server->loop->cancelTimer($never);
            $server->loop->addTimer(0.01, function () { echo "once\\n"; });
            $server->loop->addPeriodicTimer(0.01, function ($timer) use ($server) {
                static $n = 0;
                echo 'turn ', ++$n, "\\n";
                if ($n === 3) {
                    $server->loop->cancelTimer($timer);
                    $server->loop->addTimer(0.3, function () use ($server) { $server->loop->stop(); });
                }
            });
            $server->loop->run();
        """)
        wait_for(lambda: script.says("after"), "the end")
        said = [line for line in script.lines if "wsengine" not in line]
        self.assertEqual(sorted(said), ["after", "once", "tick", "turn 1", "turn 2", "turn 3"])
        self.assertEqual(said[0], "tick")

    def test_a_loop_of_reacts(self):
        script = self.run_with(REQUIRE + CHAT % ("", ECHO) + """
            class Loop { // as far as it is used of React\\EventLoop\\LoopInterface
                private $streams = []; private $runs = true;
                function addReadStream($stream, $listener) { $this->streams[(int) $stream] = [$stream, $listener]; }
                function removeReadStream($stream) { unset($this->streams[(int) $stream]); }
                function stop() { $this->runs = false; }
                function run() {
                    while ($this->runs) {
                        $read = array_column($this->streams, 0); $write = $except = null;
                        stream_select($read, $write, $except, 10);
                        foreach ($read as $stream) { $this->streams[(int) $stream][1]($stream); }
                    }
                }
            }
            class Listening { // a server of React's, which listens already
                private $socket;
                function __construct() { $this->socket = stream_socket_server('tcp://127.0.0.1:0'); }
                function getAddress() { return 'tcp://' . stream_socket_get_name($this->socket, false); }
                function close() { fclose($this->socket); }
            }
            $ws = new Ratchet\\Http\\HttpServer(new Ratchet\\WebSocket\\WsServer(new Chat()));
            $server = new Ratchet\\Server\\IoServer($ws, new Listening(), new Loop());
            pcntl_async_signals(true);
            pcntl_signal(SIGTERM, function () { ws_server_stop(0.5); });
        """)
        with script.client() as client:
            self.assertEqual(client.ask("by another loop"), "by another loop")
            self.assertEqual(script.terminate(), 0)
            self.assertEqual(client.closed(), (1001, ""))
        self.assertEqual(script.lines[-1], "after")

    def test_the_echo_server_of_the_manual(self):
        script = self.run_with(REQUIRE + """
            $server = new Ratchet\\App('localhost', 0);
            $server->route('/echo', new Ratchet\\Server\\EchoServer, array('*'));
        """)
        with script.client("/echo", host="localhost") as client:
            self.assertEqual(client.ask("it"), "it")

    def test_what_is_not_served_is_said_in_one_line(self):
        io = "Ratchet\\Server\\IoServer::factory(%s, 0, '127.0.0.1');"
        for made, said in (
            (io % "new Chat()", "Chat needs a WsServer around it"),
            (io % "new Ratchet\\Http\\HttpServer(new Chat())", "Chat needs a WsServer around it"),
            (io % "new Ratchet\\Http\\HttpServer(new ArrayObject())", "ArrayObject is not served here"),
            ("(new Ratchet\\App('localhost', 0))->route('/', new ArrayObject());", "ArrayObject takes no messages"),
        ):
            with self.subTest(made=made):
                code = f"const COMPAT = '{COMPAT}'; " + REQUIRE + CHAT % ("", "") + made
                result = subprocess.run([*php(), "-r", code], capture_output=True, text=True, timeout=10)
                self.assertEqual(result.returncode, 1)
                self.assertRegex(result.stderr, rf"\A{said}.*\n\Z")


class Requests(unittest.TestCase):
    READ = """
        $r = $from->httpRequest;
        $from->send(json_encode([get_class($r), $r->getMethod(), (string) $r->getUri(), $r->getUri()->getHost(),
            $r->getUri()->getPort(), $r->getUri()->getPath(), $r->getUri()->getQuery(), $r->getHeader('Cookie'),
            $r->getHeaderLine('X-Test'), $r->hasHeader('x-none'), $r->getRequestTarget(), isset($r->getHeaders()['cookie'])]));
    """

    def test_with_each_implementation_and_without(self):
        for before, name in (
            ("", "WsEngine\\Compat\\Ratchet\\Request"),
            ("require '/usr/share/php/GuzzleHttp/Psr7/autoload.php'; ", "GuzzleHttp\\Psr7\\Request"),
            ("require '/usr/share/php/Nyholm/Psr7/autoload.php'; ", "Nyholm\\Psr7\\Request"),
        ):
            with self.subTest(implementation=name):
                script = Script(code=before + REQUIRE + CHAT % ("", self.READ) + FACTORY + RUN)
                self.addCleanup(script.kill)
                headers = {"Cookie": "a=1; b=2", "X-Test": "yes"}
                with script.client("/chat?token=x&y=%20z", additional_headers=headers) as client:
                    self.assertEqual(json.loads(client.ask("?")), [
                        name, "GET", f"http://127.0.0.1:{script.port}/chat?token=x&y=%20z", "127.0.0.1", script.port, "/chat",
                        "token=x&y=%20z", ["a=1; b=2"], "yes", False, "/chat?token=x&y=%20z", True,
                    ])
                self.assertEqual(script.complaints(), [])


# What a script has after Composer's autoload.php with Ratchet installed, as far as it matters here: declared when asked
# for, with the methods that its interfaces have.
INSTALLED = """
    spl_autoload_register(function ($name) {
        [$space, $kind, $rest] = [
            'Ratchet\\ConnectionInterface' => ['Ratchet', 'interface ConnectionInterface',
                'const VERSION = "installed"; function send($data); function close();'],
            'Ratchet\\RFC6455\\Messaging\\MessageInterface' => ['Ratchet\\RFC6455\\Messaging',
                'interface MessageInterface extends \\Traversable, \\Countable',
                'function isCoalesced(); function getPayload(); function isBinary(); function addFrame(Frame $frame);'],
            'Ratchet\\RFC6455\\Messaging\\Frame' => ['Ratchet\\RFC6455\\Messaging', 'class Frame', '
                function __construct(private $p = null, private $final = true, private $opcode = 1) {}
                function getPayload() { return $this->p; } function getOpcode() { return $this->opcode; }'],
            'Ratchet\\RFC6455\\Messaging\\Message' => ['Ratchet\\RFC6455\\Messaging',
                'class Message implements \\IteratorAggregate, MessageInterface', '
                private $frames = [];
                function isCoalesced() { return true; } function addFrame(Frame $f) { $this->frames[] = $f; return $this; }
                function getIterator(): \\Iterator { return new \\ArrayIterator($this->frames); }
                function count(): int { return count($this->frames); }
                function isBinary() { return $this->getOpcode() === 2; }
                function getOpcode() { return $this->frames[0]->getOpcode(); }
                function getPayload() { return $this->frames[0]->getPayload(); }'],
        ][$name] ?? [null, null, null];
        if ($kind !== null) { eval("namespace $space; $kind { $rest }"); }
    });
"""


if __name__ == "__main__":
    unittest.main()
