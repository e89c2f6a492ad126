"""Family "callback": new WebSocketServer($address, $port, 'process')."""

import signal
import time
import unittest

from stage import Script, lines, say, wait_for, windows

START = "require COMPAT . '/callback.php'; "
RUN = "$server = new WebSocketServer('127.0.0.1', 0, $process); $server->run(); echo \"after\\n\";"


class Example(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ada, cls.grace = windows(cls)

    def setUp(self):
        self.script = Script("callback")
        self.addCleanup(self.script.kill)

    def test_two_windows_and_a_client_chat(self):
        for browser, name in ((self.ada, "Ada"), (self.grace, "Grace")):
            self.script.open(browser)
            say(browser, f"/name {name}")
            wait_for(lambda: lines(browser)[-1:] and lines(browser)[-1].endswith(f" is {name} now"), "the name")
        with self.script.client() as client:
            say(self.ada, "καλημέρα 👋")
            for browser in (self.ada, self.grace):
                wait_for(lambda: lines(browser)[-1] == "Ada: καλημέρα 👋", "the message")
            self.assertEqual(client.receive(), "Ada: καλημέρα 👋")
            self.assertRegex(client.ask("/who"), r"^here: Ada, Grace, guest \w+$")
            self.ada.click("#disconnect")
            wait_for(lambda: self.ada.text("#state") == "Closed", "the close")
            wait_for(lambda: client.ask("/who").startswith("here: Grace, guest"), "Ada to be gone")
        self.assertEqual(self.ada.console() + self.grace.console(), [])
        self.assertEqual(self.script.complaints(), [])

    def test_a_signal_ends_it_with_a_goodbye(self):
        for sent in (signal.SIGINT, signal.SIGTERM):
            script = Script("callback")
            self.addCleanup(script.kill)
            with self.subTest(signal=sent.name), script.client() as client:
                self.assertTrue(client.ask("/who"))
                begin = time.monotonic()
                self.assertEqual(script.end(sent), 0)
                self.assertLess(time.monotonic() - begin, 1)
                self.assertEqual(client.closed(), (1001, ""))
                self.assertEqual(script.lines[-1], "bye")


class Callbacks(unittest.TestCase):
    def run_with(self, code):
        script = Script(code=START + code)
        self.addCleanup(script.kill)
        return script

    def test_every_form_of_a_callback(self):
        declared = """
            function by_name($user, $msg, $server) { $server->send($user->socket, 'got ' . $msg); }
            function by_reference(&$user, &$msg, &$server) { by_name($user, $msg, $server); }
            class Chat {
                function process($user, $msg, $server) { by_name($user, $msg, $server); }
                static function quick($user, $msg, $server) { by_name($user, $msg, $server); }
            }
        """
        forms = ["'by_name'", "'by_reference'", "array(new Chat(), 'process')", "array('Chat', 'quick')",
                 "'Chat::quick'", "function ($user, $msg) use (&$server) { by_name($user, $msg, $server); }"]
        for form in forms:
            with self.subTest(form=form):
                script = self.run_with(f"{declared} $process = {form}; {RUN}")
                with script.client() as client:
                    self.assertEqual(client.ask("it"), "got it")
                self.assertEqual(script.complaints(), [])

    def test_a_user_has_what_scripts_read(self):
        script = self.run_with("""
            $process = function ($user, $msg, $server) {
                $user->data['said'][] = $msg;
                $user->nick = $msg;
                $server->send($user->socket, json_encode([
                    get_class($server) == 'WebSocketServer' || $server instanceof WebSocketServer,
                    $user instanceof WebSocketUser, is_string($user->id), $user->ip, $user->handshake,
                    time() - $user->lastAction < 5, $user->data['said'], $user->nick,
                    $server->getUserBySocket($user->socket) === $user, $server->getUsers() === [$user],
                    (string) $user->socket == 'Resource id #' . $user->socket->id,
                ]));
            };""" + RUN)
        with script.client() as client:
            client.ask("one")
            self.assertEqual(
                client.ask("two"),
                '[true,true,true,"127.0.0.1",true,true,["one","two"],"two",true,true,true]',
            )
        self.assertEqual(script.complaints(), [])

    def test_users_come_and_go_in_order(self):
        script = self.run_with("""
            $process = function ($user, $msg, $server) {
                $user->data['name'] = $user->data['name'] ?? $msg;
                $names = array_map(fn ($user) => $user->data['name'] ?? '?', $server->getUsers());
                $server->send($user->socket, json_encode($names));
            };""" + RUN)
        with script.client() as first:
            first.ask("first")
            with script.client() as second:
                second.ask("second")
                with script.client() as third:
                    self.assertEqual(third.ask("third"), '["first","second","third"]')
            wait_for(lambda: first.ask("") == '["first"]', "the others to be gone")

    def test_what_it_throws_ends_nobody(self):
        script = self.run_with("""
            $process = function ($user, $msg, $server) {
                if ($msg == 'throw') throw new LogicException('on purpose');
                $server->send($user->socket, $msg);
            };""" + RUN)
        with script.client() as client:
            client.send("throw")
            self.assertEqual(client.ask("still here"), "still here")
            wait_for(lambda: script.says("threw LogicException: on purpose"), "the complaint")

    def test_exit_ends_the_script_and_tells_clients(self):
        script = self.run_with("$process = function () { exit(3); };" + RUN)
        with script.client() as client, script.client() as other:
            client.send("now")
            self.assertEqual((client.closed(), other.closed()), ((1001, ""), (1001, "")))
        self.assertEqual(script.process.wait(5), 3)

    def test_a_disconnected_user_is_heard_no_more(self):
        script = self.run_with("""
            $process = function ($user, $msg, $server) {
                echo "heard $msg\\n";
                $server->send($user->socket, 'last words');
                $server->disconnect($user->socket);
                $server->disconnect($user->socket);
                echo json_encode([$server->send($user->socket, 'too late'), count($server->getUsers())]), "\\n";
            };""" + RUN)
        with script.client() as client:
            client.send_together("one", "two")
            self.assertEqual(client.receive(), "last words")
            self.assertEqual(client.closed(), (1000, ""))
        wait_for(lambda: "[false,0]" in script.lines, "the answer")
        script.terminate()
        self.assertEqual([line for line in script.lines if line.startswith("heard")], ["heard one"])

    def test_bytes_that_are_no_text_go_out_as_binary(self):
        echo = "$process = function ($user, $msg, $server) { $server->send($user->socket, $msg); };"
        script = self.run_with(echo + RUN)
        with script.client() as client:
            self.assertEqual(client.ask(b"\xff\x00"), b"\xff\x00")
            self.assertEqual(client.ask("ζ"), "ζ")

    def test_who_comes_and_goes_may_be_overridden(self):
        script = self.run_with("""
            class Door extends WebSocketServer {
                public function connect($socket) { parent::connect($socket); $this->tell('hello'); }
                public function disconnect($socket) { parent::disconnect($socket); $this->tell('bye'); }
                private function tell($what) { echo $what, ' ', count($this->users), "\\n"; }
            }
            $server = new Door('127.0.0.1', 0, null);
            $server->run();""")
        with script.client():
            with script.client() as client:
                client.send("nobody listens")
                wait_for(lambda: "hello 2" in script.lines, "both to be in")
            wait_for(lambda: "bye 1" in script.lines, "one to be gone")
        wait_for(lambda: "bye 0" in script.lines, "both to be gone")
        told = [line for line in script.lines if line.startswith(("hello", "bye"))]
        self.assertEqual(told, ["hello 1", "hello 2", "bye 1", "bye 0"])
        self.assertEqual(script.complaints(), [])


if __name__ == "__main__":
    unittest.main()
