"""Family "bind": $Server->bind('message', …) and $Server->wsStartServer($host, $port)."""

import json
import signal
import unittest

from stage import Script, lines, say, wait_for, windows
from websockets.exceptions import InvalidStatus

SERVER = "require COMPAT . '/bind.php'; $Server = new PHPWebSocket(); "
RUN = "$Server->wsStartServer('127.0.0.1', 0);"
ECHO = "$Server->bind('message', function ($id, $message) { global $Server; $Server->wsSend($id, $message); });"


class Example(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ada, cls.grace = windows(cls)

    def setUp(self):
        self.script = Script("bind")
        self.addCleanup(self.script.kill)

    def test_two_windows_and_a_client_chat(self):
        self.script.open(self.ada)
        wait_for(lambda: lines(self.ada) == ["You are visitor 1."], "the first")
        self.script.open(self.grace)
        wait_for(lambda: lines(self.ada)[1:] == ["Visitor 2 has come in."], "the second")
        with self.script.client() as client:
            self.assertEqual(client.receive(), "You are visitor 3.")
            say(self.ada, "καλημέρα 👋")
            wait_for(lambda: lines(self.ada)[-1] == "You: καλημέρα 👋", "the echo")
            wait_for(lambda: lines(self.grace)[-1] == "Visitor 1: καλημέρα 👋", "the message")
            self.assertEqual(client.receive(), "Visitor 1: καλημέρα 👋")
            self.assertEqual(client.ask(b"\xff\x00"), b"You: \xff\x00")
            self.ada.click("#disconnect")
            self.assertEqual(client.receive(), "Visitor 1 has left.")
        line = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: 127\.0\.0\.1 \(3\) has left, status 1000"
        wait_for(lambda: self.script.says(line), "the log")
        self.assertEqual(self.ada.console() + self.grace.console(), [])
        self.assertEqual(self.script.complaints(), [])

    def test_numbers_are_given_again(self):
        with self.script.client() as first, self.script.client() as second:
            first.receive()
            self.assertEqual(second.receive(), "You are visitor 2.")
            with self.script.client() as third:
                third.receive()
                first.websocket.close()
                self.assertEqual(third.receive(), "Visitor 1 has left.")
                with self.script.client() as fourth:
                    self.assertEqual(fourth.receive(), "You are visitor 1.")

    def test_an_empty_message_closes_and_a_signal_too(self):
        with self.script.client() as client, self.script.client() as other:
            client.send("")
            self.assertEqual(client.closed(), (1000, ""))
            self.assertEqual(self.script.end(signal.SIGTERM), 0)
            self.assertEqual(other.closed(), (1001, ""))
        self.assertEqual(self.script.lines[-1], "bye")


class Surface(unittest.TestCase):
    def run_with(self, code, settings=()):
        script = Script(code=SERVER + code, settings=settings)
        self.addCleanup(script.kill)
        return script

    def test_functions_of_every_form_in_the_order_of_their_binding(self):
        script = self.run_with("""
            function first($id, $message, $length, $binary) {
                global $Server;
                $Server->wsSend($id, json_encode([$id, $message, $length, $binary]));
            }
            class Chat {
                function second($id, $message) { $GLOBALS['Server']->wsSend($id, 'second'); }
                static function third($id, $message) { $GLOBALS['Server']->wsSend($id, 'third'); }
            }
            $Server->bind('message', 'first');
            $Server->bind('message', array(new Chat(), 'second'));
            $Server->bind('message', 'Chat::third');
            $Server->bind('nothing', 'first');
            $Server->unbind('nothing');
        """ + RUN)
        with script.client() as client:
            self.assertEqual(json.loads(client.ask("äb")), [1, "äb", 3, False])
            self.assertEqual([client.receive(), client.receive()], ["second", "third"])
            self.assertEqual(json.loads(client.ask(b"ab")), [1, "ab", 2, True])
        self.assertEqual(script.complaints(), [])

    def test_what_scripts_read_and_keep_in_the_table_of_clients(self):
        script = self.run_with("""
            $Server->bind('open', function ($id) {
                global $Server;
                $Server->wsClients[$id][12] = 'name ' . $id;
                $Server->room = 'dynamic';
            });
            $Server->bind('message', function ($id, $message) {
                global $Server;
                $c = $Server->wsClients[$id];
                $Server->wsSend($id, json_encode([
                    long2ip($c[6]), $c[2], abs($c[3] - time()) < 3, $c[12], $Server->wsClientCount,
                    $Server->wsClientIPCount, $Server->wsGetClientSocket($id) === $c[0], (string) $c[0] !== '',
                ]));
            });
        """ + RUN)
        with script.client() as client:
            first = json.loads(client.ask("?"))
            self.assertEqual(first, ["127.0.0.1", 1, True, "name 1", 1, {"2130706433": 1}, True, True])
            with script.client() as other:
                self.assertEqual(json.loads(other.ask("?"))[3:6], ["name 2", 2, {"2130706433": 2}])
            wait_for(lambda: json.loads(client.ask("?")) == first, "the other to be gone")
        self.assertEqual(script.complaints(), [])

    def test_the_close_status(self):
        script = self.run_with("""
            $Server->bind('message', fn ($id, $message) => $Server->wsSendClientClose($id, (int) $message));
            $Server->bind('close', function ($id, $status) {
                global $Server;
                $Server->log("closed $status " . $Server->wsClients[$id][2] . ' of ' . count($Server->wsClients));
            });
        """ + RUN)
        for says, code, logged in (("3001", 3001, "3001"), ("1004", 1009, "1004")):
            with self.subTest(says=says), script.client() as client:
                client.send(says)
                self.assertEqual(client.closed(), (code, ""))
                wait_for(lambda: script.says(f"closed {logged} 3 of 1"), "the status")
        with script.client() as client:
            client.websocket.close(1001)
        wait_for(lambda: script.says("closed 1000 3 of 1"), "the status of a page that was left")
        with script.client() as client:
            client.websocket.socket.shutdown(2)
            wait_for(lambda: script.says("closed 0 3 of 1"), "the status of one that vanished")
        self.assertEqual(script.complaints(), [])

    def test_after_close_there_are_no_more_messages(self):
        script = self.run_with("""
            $Server->bind('message', function ($id, $message) {
                usleep(200000);
                echo "got $message\\n";
                $GLOBALS['Server']->wsClose($id);
            });
        """ + RUN)
        with script.client() as client:
            client.send_together("one", "two, while the script is busy with one")
            self.assertEqual(client.closed(), (1000, ""))
        self.assertEqual(script.terminate(), 0)
        self.assertEqual([line for line in script.lines if line.startswith("got")], ["got one"])

    def test_sending_to_nobody_is_false_and_starting_twice_too(self):
        script = self.run_with("""
            $Server->bind('message', function ($id) {
                global $Server;
                $Server->wsSend($id, json_encode([
                    $Server->wsSend(99, 'x'), $Server->wsClose(99), $Server->wsStartServer('127.0.0.1', 0),
                ]));
                $Server->wsStopServer();
            });
        """ + "echo json_encode([$Server->wsStopServer(), $Server->wsStartServer('127.0.0.1', 0)]), \"\\n\";")
        with script.client() as client:
            self.assertEqual(client.ask("?"), "[false,false,false]")
            self.assertEqual(client.closed(), (1001, ""))
        wait_for(lambda: script.says(r"\[false,true\]"), "the script to go on")

    def test_what_a_function_throws_ends_nobody(self):
        script = self.run_with("""
            $Server->bind('open', fn ($id) => throw new LogicException('in open'));
            $Server->bind('close', fn ($id) => throw new LogicException('in close'));
        """ + ECHO + RUN)
        with script.client() as client:
            self.assertEqual(client.ask("still here"), "still here")
            with script.client():
                pass
            wait_for(lambda: script.says("LogicException: in close"), "the complaint")
            self.assertEqual(client.ask("and here"), "and here")
        script.awaits("LogicException: in open")
        with script.client() as client:
            self.assertEqual(client.ask("numbers go on"), "numbers go on")

    def test_limits_are_those_of_the_class_a_subclass_or_php_ini(self):
        code = "require COMPAT . '/bind.php'; class Small extends PHPWebSocket { const WS_MAX_CLIENTS = 1; } "
        code += "$Server = new Small(); " + ECHO + RUN
        script = Script(code=code)
        self.addCleanup(script.kill)
        with script.client() as client:
            with self.assertRaises(InvalidStatus) as refused, script.client():
                pass
            self.assertEqual(refused.exception.response.status_code, 503)
            client.send("x" * 500001)
            self.assertEqual(client.closed()[0], 1009)
        script = Script(code=code, settings=["wsengine.max_connections=2"])
        self.addCleanup(script.kill)
        with script.client() as client, script.client() as other:
            self.assertEqual(other.ask(client.ask("in")), "in")

    def test_a_class_of_that_name_is_an_error(self):
        script = "class PHPWebSocket {} require COMPAT . '/bind.php';"
        with self.assertRaisesRegex(AssertionError, "declares PHPWebSocket, but .* has declared it before"):
            Script(code=script)


if __name__ == "__main__":
    unittest.main()
