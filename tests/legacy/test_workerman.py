"""Family "workerman": new Worker('websocket://…'), callbacks set on it, Worker::runAll()."""

import json
import signal
import socket
import struct
import subprocess
import unittest

from stage import COMPAT, Script, lines, php, say, wait_for, windows
from websockets.exceptions import InvalidStatus

BEGIN = """
    require COMPAT . '/workerman.php';
    use Workerman\\Connection\\TcpConnection;
    use Workerman\\Timer;
    use Workerman\\Worker;
"""
WORKER = BEGIN + "$worker = new Worker('websocket://127.0.0.1:0');"
RUN = "Worker::runAll(); echo \"after\\n\";"
ECHO = "$worker->onMessage = function ($connection, $data) { $connection->send($data); };"


class Example(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ada, cls.grace = windows(cls)

    def setUp(self):
        self.script = Script("workerman")
        self.addCleanup(self.script.kill)

    def test_two_windows_and_a_client_chat(self):
        for browser, name in ((self.ada, "Ada"), (self.grace, "Grace")):
            self.script.open(browser, f"/?name={name}")
            wait_for(lambda: lines(browser) == [f"{name} has come in."], "the welcome")
        wait_for(lambda: lines(self.ada)[-1] == "Grace has come in.", "the news")
        with self.script.client() as client:
            self.assertEqual(client.receive(), "guest 3 has come in.")
            say(self.ada, "καλημέρα 👋")
            for browser in (self.ada, self.grace):
                wait_for(lambda: lines(browser)[-1] == "Ada: καλημέρα 👋", "the message")
            self.assertEqual(client.receive(), "Ada: καλημέρα 👋")
            say(self.ada, "quit")
            wait_for(lambda: "Bye." in lines(self.ada) and self.ada.text("#state") == "Closed", "the goodbye")
            self.assertEqual(client.receive(), "Ada has left.")
            self.assertEqual(self.script.end(signal.SIGTERM), 0)
            self.assertEqual(client.closed(), (1001, ""))
        self.assertEqual(self.ada.console() + self.grace.console(), [])
        self.assertTrue(self.script.says("Ada came from 127.0.0.1"))
        self.assertEqual(self.script.lines[-1], "bye")
        self.assertEqual(self.script.complaints(), [])


class Workers(unittest.TestCase):
    def run_with(self, code, settings=()):
        script = Script(code=code + RUN, settings=settings)
        self.addCleanup(script.kill)
        return script

    def test_what_scripts_read_of_a_connection(self):
        script = self.run_with(WORKER + """
            $worker->onMessage = function (TcpConnection $connection, $data) use ($worker) {
                $connection->seen = ($connection->seen ?? 0) + 1;
                $connection->context->any = 1;
                $connection->send(json_encode([
                    $connection->id, $connection->seen, $connection->getRemoteIp(), $connection->getRemotePort(),
                    $connection->getRemoteAddress(), $connection->worker === $worker, $connection->getStatus(false),
                    $worker->connections[$connection->id] === $connection, count(TcpConnection::$connections),
                    $connection->isIpV4(), $connection->bytesRead, $connection->maxSendBufferSize,
                ]));
            };
        """)
        with script.client() as client, script.client():
            port = client.websocket.local_address[1]
            self.assertEqual(json.loads(client.ask("x")), [
                1, 1, "127.0.0.1", port, f"127.0.0.1:{port}", True, "ESTABLISHED", True, 2, True, 1, 1048576,
            ])
            self.assertEqual(json.loads(client.ask("x"))[:2], [1, 2])
        script.awaits(r"Worker none listens on 127\.0\.0\.1:\d+")
        self.assertEqual(script.complaints(), [])

    def test_the_order_of_callbacks(self):
        script = self.run_with(WORKER + """
            $worker->onWorkerStart = function ($worker) { echo "start $worker->id\\n"; };
            $worker->onWorkerStop = function ($worker) {
                echo "stop\\n";
                foreach ($worker->connections as $c) $c->send('bye');
            };
            $worker->onConnect = function ($c) { echo "connect\\n"; $c->send('sent in onConnect'); };
            $worker->onWebSocketConnect = function ($c) { echo "handshake\\n"; $c->send('sent in the handshake'); };
            $worker->onMessage = function ($c, $data) {
                echo "message\\n";
                $c->onMessage = function ($c, $data) { echo "its own message\\n"; $c->close('last words'); echo "closed\\n"; };
            };
            $worker->onClose = function ($c) use ($worker) {
                echo 'close ', count($worker->connections), ' ', $c->getStatus(), "\\n";
            };
        """)
        with script.client() as client:
            self.assertEqual([client.receive(), client.receive()], ["sent in onConnect", "sent in the handshake"])
            client.send("one")
            self.assertEqual(client.ask("two"), "last words")
            self.assertEqual(client.closed(), (1000, ""))
        with script.client() as client:
            client.receive()
            client.receive()
            self.assertEqual(script.end(signal.SIGINT), 0)
            self.assertEqual(client.receive(), "bye")
            self.assertEqual(client.closed(), (1001, ""))
        said = [line for line in script.lines if "wsengine" not in line and "listens" not in line]
        self.assertEqual(said, [
            "start 0", "connect", "handshake", "message", "its own message", "close 1 8", "closed",
            "connect", "handshake", "stop", "close 1 8", "after",
        ])

    def test_the_request_is_seen_in_the_handshake(self):
        script = self.run_with(WORKER + """
            $worker->onConnect = function ($connection) {
                $connection->onWebSocketConnect = function ($connection, $head) {
                    $connection->send(json_encode([
                        $_GET, $_COOKIE, $_SERVER['REQUEST_METHOD'], $_SERVER['REQUEST_URI'], $_SERVER['QUERY_STRING'],
                        $_SERVER['HTTP_HOST'], $_SERVER['SERVER_NAME'], $_SERVER['HTTP_X_REAL_IP'], $_SERVER['HTTP_ORIGIN'],
                        preg_match('~^GET /chat\\?a=1&b=%20c HTTP/1.1\\r\\nHost: 127~', $head),
                        $head->get('b'), $head->get('z', 'none'), $head->header('x-real-ip'), $head->cookie('k'), $head->path(),
                        $head->uri(), $head->host(true),
                    ]));
                };
            };
            $worker->onMessage = fn ($connection) => $connection->send(json_encode([$_GET, isset($_SERVER['HTTP_HOST'])]));
        """)
        headers = {"Cookie": "k=a%20b", "X-Real-IP": "192.0.2.7"}
        with script.client("/chat?a=1&b=%20c", origin="http://127.0.0.1", additional_headers=headers) as client:
            self.assertEqual(json.loads(client.receive()), [
                {"a": "1", "b": " c"}, {"k": "a b"}, "GET", "/chat?a=1&b=%20c", "a=1&b=%20c",
                f"127.0.0.1:{script.port}", "127.0.0.1", "192.0.2.7", "http://127.0.0.1", 1,
                " c", "none", "192.0.2.7", "a b", "/chat", "/chat?a=1&b=%20c", "127.0.0.1",
            ])
            self.assertEqual(json.loads(client.ask("?")), [[], False], "and not after it")
        self.assertEqual(script.complaints(), [])

    def test_headers_and_refusals(self):
        script = self.run_with(WORKER + ECHO + """
            $worker->onConnect = function ($connection) {
                if ($connection->id === 4) { $connection->destroy(); echo "destroyed\\n"; }
            };
            $worker->onWebSocketConnect = function ($connection) {
                echo "asked\\n";
                if (isset($_GET['throw'])) { throw new LogicException('on purpose'); }
                if (isset($_GET['no'])) { $connection->close(); }
                $connection->headers = ['X-One: 1', 'X-Two: 2', 'Sec-WebSocket-Protocol: chat'];
            };
            $worker->onClose = function ($connection) use ($worker) { echo "close\\n"; };
        """)
        with script.client(subprotocols=["other", "chat"]) as client:
            self.assertEqual(client.websocket.subprotocol, "chat")
            answer = client.websocket.response.headers
            self.assertEqual((answer["X-One"], answer["X-Two"]), ("1", "2"))
        with script.client() as client:
            self.assertIsNone(client.websocket.subprotocol)
        wait_for(lambda: script.lines.count("close") == 2, "their ends")
        for path in ("/?no=1", "/destroyed", "/?throw=1"):
            with self.assertRaises(InvalidStatus) as refused, script.client(path):
                pass
            self.assertEqual(refused.exception.response.status_code, 403)
        wait_for(lambda: script.lines.count("close") == 5, "the ends of those who were refused")
        self.assertEqual(script.lines.count("asked"), 4, "who was destroyed in onConnect is not asked about any more")
        script.awaits("LogicException: on purpose")

    def test_after_close_there_are_no_more_messages(self):
        script = self.run_with(WORKER + """
            $worker->onMessage = function ($connection, $data) {
                usleep(200000);
                echo "got $data\\n";
                $connection->close();
            };
        """)
        with script.client() as client:
            client.send_together("one", "two, while the script is busy with one")
            self.assertEqual(client.closed(), (1000, ""))
        self.assertEqual(script.terminate(), 0)
        self.assertEqual([line for line in script.lines if line.startswith("got")], ["got one"])

    def test_binary_and_text(self):
        script = self.run_with(WORKER + """
            $worker->onMessage = function ($connection, $data) {
                $connection->websocketType = Workerman\\Protocols\\Websocket::BINARY_TYPE_ARRAYBUFFER;
                $connection->send($data);
                $connection->websocketType = "\\x89";
                $connection->send('');
                $connection->websocketType = Workerman\\Protocols\\Websocket::BINARY_TYPE_BLOB;
                $connection->send($data);
                $connection->send(5);
            };
        """)
        with script.client() as client:
            self.assertEqual([client.ask("x"), client.receive(), client.receive()], [b"x", "x", "5"])
        self.assertEqual(script.complaints(), [])

    def test_a_full_buffer(self):
        script = self.run_with(BEGIN + "TcpConnection::$defaultMaxSendBufferSize = 65536;" + """
            $worker = new Worker('websocket://127.0.0.1:0');
            $worker->onMessage = function ($connection, $data) {
                while ($connection->send(str_repeat('x', 32768)) !== false);
                echo "no more\\n";
            };
            $worker->onBufferFull = function ($connection) { echo "full\\n"; };
            $worker->onBufferDrain = function ($connection) { echo "drain\\n"; $connection->send('again'); };
            $worker->onError = function ($connection, $code, $what) { echo "error $code $what\\n"; };
        """)
        with script.client() as client:
            client.send("go")
            while client.receive() != "again":
                pass
        script.awaits("drain")
        said = [line for line in script.lines if "wsengine" not in line and "listens" not in line]
        self.assertEqual(said, ["error 2 send buffer full and drop package", "full", "no more", "drain"])

    def test_timers(self):
        script = self.run_with(WORKER + """
            Timer::add(0.01, function ($one, $two) { echo "early $one $two\\n"; }, ['a', 'b'], false);
            $worker->onWorkerStart = function () {
                $id = Timer::add(0.02, function () use (&$id) {
                    static $n = 0;
                    echo 'turn ', ++$n, "\\n";
                    if ($n === 3) {
                        Timer::del($id);
                        Timer::add(0.3, ['Worker', 'stopAll'], [], false);
                    }
                });
                $gone = Workerman\\Lib\\Timer::add(0.01, fn () => print("never\\n"));
                echo json_encode([is_int($gone), Timer::del($gone), Timer::del($gone), Timer::add(0, 'time')]), "\\n";
                Timer::add(0.03, 'by_name', null, false);
            };
            function by_name() { echo "by name\\n"; throw new LogicException('in a timer'); }
            class_alias('Workerman\\Worker', 'Worker');
        """)
        wait_for(lambda: script.says("after"), "the end")
        said = [line for line in script.lines if "wsengine" not in line and "listens" not in line]
        self.assertEqual(said[:2], ["a timer takes seconds above 0, 0 given", "[true,true,false,false]"])
        self.assertEqual(sorted(said[2:]), ["after", "by name", "early a b", "turn 1", "turn 2", "turn 3"])
        script.awaits("LogicException: in a timer")

    def test_workers_without_an_address_have_their_callbacks_and_timers(self):
        script = self.run_with(WORKER + ECHO + """
            $task = new Worker();
            $task->name = 'task';
            $task->onWorkerStart = function ($task) use ($worker) {
                Timer::add(0.01, function () use ($task, $worker) {
                    foreach ($worker->connections as $connection) { $connection->send("from $task->name"); }
                });
            };
        """)
        with script.client() as client:
            self.assertEqual(client.receive(), "from task")

    def test_what_a_callback_throws_ends_nobody(self):
        script = self.run_with(WORKER + """
            $worker->onConnect = function ($connection) { $connection->name = 'x'; };
            $worker->onMessage = function ($connection, $data) {
                if ($data === 'throw') { throw new LogicException('in a message'); }
                if ($data === 'array') { $connection->send([1]); }
                if ($data === 'raw') { $connection->send("\\x8a\\x00", true); }
                $connection->send($data);
            };
            $worker->onClose = function () { throw new LogicException('in close'); };
        """)
        with script.client() as client:
            for said in ("throw", "array", "raw"):
                client.send(said)
            self.assertEqual(client.ask("still here"), "still here")
            with script.client():
                pass
            wait_for(lambda: script.says("LogicException: in close"), "the complaint")
            self.assertEqual(client.ask("and here"), "and here")
        script.awaits("LogicException: in a message")
        script.awaits("a message is a string, array given")
        script.awaits("frames of your own cannot be sent")

    def test_who_leaves_within_the_handshake_is_forgotten(self):
        script = self.run_with(WORKER + ECHO + """
            $worker->onConnect = function ($connection) { echo "connect\\n"; usleep(300000); };
            $worker->onClose = function ($connection) use ($worker) { echo 'close ', count($worker->connections), "\\n"; };
        """)
        with socket.create_connection(("127.0.0.1", script.port), 10) as leaver:
            leaver.sendall(
                b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            wait_for(lambda: script.says("connect"), "the handshake")
            # Leaves by a reset, so that not even the answer can be written.
            leaver.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_for(lambda: script.says("close 1"), "the end", 30)
        with script.client() as client:
            self.assertEqual(client.ask("others come in"), "others come in")


class CommandLine(unittest.TestCase):
    def result(self, code, *arguments):
        code = f"const COMPAT = '{COMPAT}'; {code}"
        return subprocess.run([*php(), "-r", code, "--", *arguments], capture_output=True, text=True, timeout=10)

    def test_start_and_other_words_run_in_the_foreground(self):
        for words in ([], ["start"], ["127.0.0.1", "8080"]):
            with self.subTest(words=words):
                code = WORKER + "$worker->onWorkerStart = function () { Worker::stopAll(); };" + RUN
                result = self.result(code, *words)
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertTrue(result.stdout.endswith("\nafter\n"))

    def test_what_is_not_served_is_said_in_one_line(self):
        for code, words, said in (
            (WORKER + RUN, ["stop"], "stop: there is no master process"),
            (WORKER + RUN, ["reload"], "reload: there is no master process"),
            (WORKER + RUN, ["start", "-d"], "the script runs in the foreground only"),
            (WORKER + "Worker::$daemonize = true;" + RUN, [], "the script runs in the foreground only"),
            (WORKER + "$worker->user = 'nobody';" + RUN, [], r"\$worker->user = 'nobody': start the script as nobody"),
            (BEGIN + "new Worker('http://0:0');", [], r"new Worker\('http://0:0'\): here a Worker is websocket://"),
            (WORKER + "new Worker('websocket://0:1');", [], r"new Worker\('websocket://0:1'\): one Worker"),
            (BEGIN + "new Worker();" + RUN, [], r"Worker::runAll\(\) without a new Worker"),
        ):
            with self.subTest(said=said):
                result = self.result(code, *words)
                self.assertEqual((result.returncode, result.stdout), (1, ""))
                self.assertRegex(result.stderr, rf"\A{said}.*\n\Z")

    def test_tls_by_the_context(self):
        code = BEGIN + """
            $worker = new Worker('websocket://127.0.0.1:0', ['ssl' => ['local_cert' => '/nowhere/cert.pem']]);
            $worker->transport = 'ssl';
        """ + RUN
        result = self.result(code)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, r"\Aoption \"tls_cert\": .*/nowhere/cert\.pem.*\n\Z")


if __name__ == "__main__":
    unittest.main()
