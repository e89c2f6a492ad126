"""Family "abstract": class EchoServer extends WebSocketServer with process(), connected() and closed()."""

import json
import re
import signal
import socket
import struct
import subprocess
import unittest

from websockets.exceptions import InvalidStatus

from stage import Script, lines, say, wait_for, windows


class Example(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ada, cls.grace = windows(cls)

    def setUp(self):
        self.script = Script("abstract")
        self.addCleanup(self.script.kill)

    def test_two_windows_and_a_client_chat(self):
        for browser, name in ((self.ada, "Ada"), (self.grace, "Grace")):
            self.script.open(browser)
            wait_for(lambda: lines(browser) == ["Who are you?"], "the question")
            say(browser, name)
            wait_for(lambda: lines(browser)[1:] == [f"{name} has come"], "the answer")
        with self.script.client() as client:
            self.assertEqual(client.receive(), "Who are you?")
            say(self.ada, "καλημέρα 👋")
            for browser in (self.ada, self.grace):
                wait_for(lambda: lines(browser)[-1] == "Ada: καλημέρα 👋", "the message")
            self.assertEqual(client.receive(), "Ada: καλημέρα 👋")
            self.grace.click("#disconnect")
            self.assertEqual(client.receive(), "Grace has gone")
        self.assertEqual(self.ada.console() + self.grace.console(), [])
        self.assertEqual(self.script.complaints(), [])

    def test_it_prints_what_such_scripts_print(self):
        with self.script.client():
            connected = wait_for(lambda: self.script.says(r"Client connected\. Resource id #\d+"), "the line")
        disconnected = connected.replace("connected", "disconnected")
        wait_for(lambda: disconnected in self.script.lines, "the end")
        self.assertRegex("\n".join(self.script.lines), re.compile(
            rf"^Server started\nListening on: 127\.0\.0\.1:0\nMaster socket: Resource id #0\n"
            rf"{connected}\n{disconnected}$", re.M))

    def test_a_signal_ends_it_with_a_goodbye(self):
        with self.script.client() as client:
            self.assertEqual(client.receive(), "Who are you?")
            self.assertEqual(self.script.end(signal.SIGTERM), 0)
            self.assertEqual(client.closed(), (1001, ""))
        self.assertEqual(self.script.lines[-1], "bye")


def reset(client):
    """Has its close be no orderly end."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Extending(unittest.TestCase):
    def run_with(self, members, before="", arguments="'127.0.0.1', '0'", **options):
        missing = "".join(
            f"protected function {name} {{}} "
            for name in ("process($user, $message)", "connected($user)", "closed($user)")
            if f"function {name.partition('(')[0]}" not in members
        )
        script = Script(**options, code=f"""
            require COMPAT . '/abstract.php';
            {before}
            class EchoServer extends WebSocketServer {{ {members} {missing} }}
            $echo = new EchoServer({arguments});
            $echo->run();
        """)
        self.addCleanup(script.kill)
        return script

    def refused(self, script, path="/", **options):
        """The status by which a client is turned away."""
        with self.assertRaises(InvalidStatus) as refusal:
            with script.client(path, **options):
                pass
        return refusal.exception.response.status_code

    def heard(self, script, *words):
        return [line for line in script.lines if line.split(" ")[0] in words]

    def test_the_calls_for_a_user_come_in_order(self):
        calls = """
            protected function connected($user) { echo 'connected ', count($this->users), "\\n"; }
            protected function process($user, $message) { echo "process $message\\n"; $this->send($user, $message); }
            protected function closed($user) { echo 'closed ', count($this->users), "\\n"; }
        """
        connecting = """
            protected function connecting($user) { echo 'connecting ', json_encode($user->handshake), "\\n"; }
        """
        for members, expected in ((calls, []), (calls + connecting, ["connecting false"])):
            with self.subTest(connecting=expected):
                script = self.run_with(members)
                with script.client() as client:
                    client.ask("one")
                wait_for(lambda: "closed 0" in script.lines, "the end")
                self.assertEqual(self.heard(script, "connecting", "connected", "process", "closed"),
                                 [*expected, "connected 1", "process one", "closed 0"])
                self.assertEqual(script.complaints(), [])

    def test_a_user_has_what_scripts_read(self):
        script = self.run_with("""
            protected function process($user, $message) {
                $user->seen = true;
                $this->send($user, json_encode([
                    $user instanceof WebSocketUser, substr($user->id, 0, 1), $this->users[$user->id] === $user,
                    $this->sockets[$user->id] === $user->socket, $this->getUserBySocket($user->socket) === $user,
                    $user->requestedResource, $user->headers['get'], $user->headers['cookie'],
                    strpos($user->handshake, "GET /room?n=1 HTTP/1.1\\r\\n") === 0, count($this->sockets),
                ]));
            }
        """)
        with script.client("/room?n=1", additional_headers={"Cookie": "a=b"}) as client:
            self.assertEqual(json.loads(client.ask("")), [
                True, "u", True, True, True, "/room?n=1", "/room?n=1", "a=b", True, 2])
        self.assertEqual(script.complaints(), [])

    def test_users_may_be_of_a_class_of_the_scripts_own(self):
        script = self.run_with(
            """
            protected $userClass = 'MyUser';
            protected function process($user, $message) {
                $this->send($user, get_class($user) . $user->number . $message);
            }
            """,
            before="""class MyUser extends WebSocketUser {
                public $number;
                function __construct($id, $socket) { parent::__construct($id, $socket); $this->number = 7; }
            }""",
        )
        with script.client() as client:
            self.assertEqual(client.ask("!"), "MyUser7!")

    def test_what_is_sent_while_connecting_comes_after_connected(self):
        script = self.run_with("""
            protected function connecting($user) { $this->send($user, 'early'); }
            protected function connected($user) { $this->send($user, 'welcome'); }
        """)
        with script.client() as client:
            self.assertEqual([client.receive(), client.receive()], ["welcome", "early"])

    def test_a_host_may_be_refused(self):
        script = self.run_with("""
            protected function checkHost($hostName) { return strpos($hostName, 'localhost') !== 0; }
            protected function closed($user) { echo 'closed ', count($this->users), "\\n"; }
        """)
        with script.client():
            pass
        self.assertEqual(self.refused(script, host="localhost"), 400)
        wait_for(lambda: self.heard(script, "closed") == ["closed 0"] * 2, "both to be gone")
        self.assertEqual(script.complaints(), [])

    def test_an_origin_is_the_scripts_to_judge_if_it_wants_one(self):
        check = "protected function checkOrigin($origin) { return $origin === 'https://shop.example'; }"
        script = self.run_with("protected $headerOriginRequired = true;" + check)
        with script.client(origin="https://shop.example"):
            pass
        self.assertEqual(self.refused(script), 403)
        self.assertEqual(self.refused(script, origin="https://evil.example"), 403)
        script = self.run_with(check)
        with script.client():
            pass
        self.assertEqual(self.refused(script, origin="https://shop.example"), 403, "by the engine")

    def test_protocols_and_extensions_may_be_required(self):
        script = self.run_with("""
            protected $headerSecWebSocketProtocolRequired = true;
            protected $headerSecWebSocketExtensionsRequired = true;
            protected function checkWebsocProtocol($protocol) { return strpos($protocol, 'chat') !== false; }
            protected function checkWebsocExtensions($extensions) { return strpos($extensions, 'deflate') !== false; }
        """)
        with script.client(subprotocols=["chat"]):
            pass
        self.assertEqual(self.refused(script), 400)
        self.assertEqual(self.refused(script, subprotocols=["talk"]), 400)
        self.assertEqual(self.refused(script, subprotocols=["chat"], compression=None), 400)

    def test_a_subprotocol_may_be_chosen(self):
        script = self.run_with("""
            protected function processProtocol($protocol) {
                return strpos($protocol, 'v2') === false ? '' : "Sec-WebSocket-Protocol: v2\\r\\nX-Seat: 4\\r\\n";
            }
            protected function process($user, $message) { $this->send($user, $message); }
        """)
        with script.client(subprotocols=["v1", "v2"]) as client:
            self.assertEqual(client.websocket.subprotocol, "v2")
            self.assertEqual(client.websocket.response.headers["X-Seat"], "4")
            self.assertEqual(client.ask("x"), "x")
        for offered in (["v1"], None):
            with script.client(subprotocols=offered) as client:
                self.assertIsNone(client.websocket.subprotocol)

    def test_who_is_disconnected_while_connecting_does_not_come_in(self):
        script = self.run_with("""
            protected function connecting($user) { $this->disconnect($user->socket); }
            protected function connected($user) { echo "connected\\n"; }
            protected function closed($user) { echo "closed\\n"; }
        """)
        self.assertEqual(self.refused(script), 403)
        wait_for(lambda: "closed" in script.lines, "the call")
        self.assertEqual(self.heard(script, "connected", "closed"), ["closed"])

    def test_who_leaves_while_connecting_is_closed_as_well(self):
        script = self.run_with("""
            protected function connecting($user) { echo "connecting\\n"; fgets(STDIN); }
            protected function connected($user) { echo "connected\\n"; }
            protected function process($user, $message) { $this->send($user, $message); }
            protected function closed($user) { echo 'closed ', count($this->users), "\\n"; }
        """, stdin=subprocess.PIPE)
        self.addCleanup(script.process.stdin.close)

        def go_on():
            script.process.stdin.write("\n")
            script.process.stdin.flush()

        go_on()
        with script.client() as other:
            for number, leave in enumerate((lambda client: None, reset), 1):
                with socket.create_connection(("127.0.0.1", script.port), 10) as client:
                    client.sendall(
                        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                    )
                    wait_for(lambda: script.lines.count("connecting") == 1 + number, "the call")
                    leave(client)
                go_on()
                wait_for(lambda: script.lines.count("closed 1") == number, "the end")
            self.assertEqual(other.ask("still here"), "still here")
        calls = ["connecting", "connected", *["connecting", "connected", "closed 1"], *["connecting", "closed 1"]]
        self.assertEqual(self.heard(script, "connecting", "connected", "closed")[:7], calls)
        self.assertEqual(script.complaints(), [])

    def test_disconnecting_with_and_without_closed(self):
        script = self.run_with("""
            protected function process($user, $message) {
                $this->send($user, 'last words');
                $this->disconnect($user->socket, $message === 'loud');
                $this->send($user, 'too late');
                echo 'users ', count($this->users), "\\n";
            }
            protected function closed($user) { echo "closed\\n"; }
        """)
        for message, expected in (("loud", ["closed", "users 0"]), ("quiet", ["users 0"])):
            before = len(script.lines)
            with script.client() as client:
                client.send_together(message, "unheard")
                self.assertEqual(client.receive(), "last words")
                self.assertEqual(client.closed(), (1000, ""))
            wait_for(lambda: "users 0" in script.lines[before:], "the line")
            self.assertEqual([line for line in script.lines[before:] if line in ("closed", "users 0")], expected)
        self.assertEqual(script.complaints(), [])

    def test_a_tick_comes_at_once_and_about_every_second(self):
        script = self.run_with("""
            private $begin;
            public function run() { $this->begin = hrtime(true); parent::run(); }
            protected function tick() { echo 'tick ', hrtime(true) - $this->begin, "\\n"; }
        """)
        wait_for(lambda: len(self.heard(script, "tick")) >= 3, "three ticks", 5)
        first, second, third = (int(line.split()[1]) / 1e9 for line in self.heard(script, "tick")[:3])
        self.assertTrue(first < 0.9 < second < 1.9 < third < 2.9, (first, second, third))

    def test_a_silent_server_prints_nothing(self):
        script = self.run_with("""
            protected $interactive = false;
            protected function process($user, $message) { $this->send($user, $message); }
        """)
        with script.client() as client:
            self.assertEqual(client.ask("there?"), "there?")
        self.assertEqual(script.end(signal.SIGTERM), 0)
        self.assertEqual([line for line in script.lines if "wsengine info" not in line], [])

    def test_a_large_buffer_takes_larger_messages(self):
        echo = "protected function process($user, $message) { $this->send($user, strlen($message)); }"
        script = self.run_with(echo)
        with script.client() as client:
            self.assertEqual(client.ask("x" * (1 << 20)), "1048576", "whole, though the buffer is smaller")
            client.send("x" * ((1 << 20) + 1))
            self.assertEqual(client.closed()[0], 1009)
        script = self.run_with(echo, arguments="'127.0.0.1', '0', 2097152")
        with script.client() as client:
            self.assertEqual(client.ask("x" * (2 << 20)), "2097152")

    def test_what_it_throws_ends_nobody(self):
        script = self.run_with("""
            protected function connected($user) { throw new Exception('connected on purpose'); }
            protected function process($user, $message) {
                if ($message === 'throw') { throw new Exception('process on purpose'); }
                $this->send($user, $message);
            }
            protected function closed($user) { throw new Exception('closed on purpose'); }
        """)
        with script.client() as client:
            client.send("throw")
            self.assertEqual(client.ask("still here"), "still here")
        for name in ("connected", "process", "closed"):
            wait_for(lambda: script.says(f"threw Exception: {name} on purpose"), "the complaint")

    def test_a_mistake_at_the_door_lets_nobody_in(self):
        script = self.run_with("""
            protected function checkHost($hostName) { throw new Exception('on purpose'); }
            protected function closed($user) { echo 'closed ', count($this->users), "\\n"; }
        """)
        self.assertEqual(self.refused(script), 500)
        wait_for(lambda: self.heard(script, "closed") == ["closed 0"], "the user to be gone")
        wait_for(lambda: script.says("threw Exception: on purpose"), "the complaint")


if __name__ == "__main__":
    unittest.main()
