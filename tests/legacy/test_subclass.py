"""Family "subclass": class ChatBot extends WebSocket, and new ChatBot($address, $port)."""

import re
import signal
import unittest

from stage import Script, lines, say, wait_for, windows


class Example(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ada, cls.grace = windows(cls)

    def setUp(self):
        self.script = Script("subclass")
        self.addCleanup(self.script.kill)

    def test_two_windows_and_a_client_talk_to_it(self):
        for browser in (self.ada, self.grace):
            self.script.open(browser)
        with self.script.client() as client:
            self.assertEqual(client.ask("hello"), "good evening")
            say(self.ada, "all καλημέρα 👋")
            for browser in (self.ada, self.grace):
                wait_for(lambda: lines(browser) == ["καλημέρα 👋"], "the message")
            self.assertEqual(client.receive(), "καλημέρα 👋")
            self.assertEqual(client.ask("who"), "3 at the tables")
            say(self.grace, "bye")
            wait_for(lambda: self.grace.text("#state") == "Closed", "the close")
            self.assertEqual(lines(self.grace)[1:], ["and not a word before"])
            self.assertEqual(client.ask("who"), "2 at the tables")
            self.assertEqual(client.ask("bye"), "good night")
            self.assertEqual(client.closed(), (1000, ""))
        self.assertEqual(self.ada.console() + self.grace.console(), [])
        self.assertEqual(self.script.complaints(), [])

    def test_it_prints_what_such_scripts_print(self):
        with self.script.client() as client:
            client.ask("what?")
        wait_for(lambda: "> pardon?" in self.script.lines, "the line")
        self.assertRegex("\n".join(self.script.lines), re.compile(
            r"^Server Started : \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\nListening on   : 127\.0\.0\.1 port 0\n"
            r"Master socket  : Resource id #0\n\n< what\?\n> pardon\?$", re.M))

    def test_a_signal_ends_the_constructor_with_a_goodbye(self):
        with self.script.client() as client:
            self.assertEqual(client.ask("what?"), "pardon?")
            self.assertEqual(self.script.end(signal.SIGINT), 0)
            self.assertEqual(client.closed(), (1001, ""))
        self.assertEqual(self.script.lines[-1], "bye")


class Overriding(unittest.TestCase):
    def run_with(self, members):
        script = Script(code=f"""
            require COMPAT . '/subclass.php';
            class Bot extends WebSocket {{ {members} }}
            $master = new Bot('127.0.0.1', 0);
        """)
        self.addCleanup(script.kill)
        return script

    def test_without_a_process_it_echoes(self):
        script = self.run_with("")
        with script.client() as client:
            self.assertEqual(client.ask("ζ"), "ζ")
            self.assertEqual(client.ask(b"\xff"), b"\xff")

    def test_what_the_log_says_when_debugging(self):
        script = self.run_with("var $debug = true;")
        with script.client():
            connected = wait_for(lambda: script.says(r"Resource id #\d+ CONNECTED!"), "the line")
        wait_for(lambda: script.says(connected.replace("CONNECTED", "DISCONNECTED")), "the other line")

    def test_the_lines_may_go_elsewhere(self):
        script = self.run_with("function say($msg = '') { echo 'said: ', $msg, \"\\n\"; }")
        with script.client() as client:
            client.ask("x")
        wait_for(lambda: "said: > x" in script.lines, "the line")

    def test_coming_and_going_may_be_noticed(self):
        script = self.run_with("""
            function connect($socket) { parent::connect($socket); echo "in ", count($this->users), "\\n"; }
            function disconnect($socket) {
                $user = $this->getuserbysocket($socket);
                parent::disconnect($socket);
                echo "out $user->name ", count($this->users), ' ', count($this->sockets), "\\n";
            }
            function process($user, $msg) {
                $user->name = $msg;
                $this->send($user->socket, $user instanceof User && $user->handshake ? 'ok' : 'no');
            }
        """)
        with script.client() as client, script.client() as other:
            self.assertEqual(client.ask("Ada"), "ok")
            self.assertEqual(other.ask("Grace"), "ok")
        wait_for(lambda: script.says("out Ada"), "the last to be gone")
        self.assertEqual([line for line in script.lines if re.match("in|out", line)],
                         ["in 1", "in 2", "out Grace 1 2", "out Ada 0 1"])
        self.assertEqual(script.complaints(), [])

    def test_users_of_the_scripts_own_making_are_users(self):
        script = self.run_with("""
            function connect($socket) {
                $user = new stdClass();
                $user->socket = $socket;
                $user->guest = 7;
                array_push($this->users, $user);
                array_push($this->sockets, $socket);
            }
            function process($user, $msg) { $this->send($user->socket, $user->guest . $msg); }
        """)
        with script.client() as client:
            self.assertEqual(client.ask("!"), "7!")
        with script.client() as client:
            self.assertEqual(client.ask("?"), "7?")
        self.assertEqual(script.complaints(), [])

    def test_the_head_of_the_request_is_shown_to_the_handshake(self):
        script = self.run_with("""
            function dohandshake($user, $buffer) {
                $done = parent::dohandshake($user, $buffer);
                list($user->resource, $user->host, $user->origin) = $this->getheaders($buffer);
                preg_match('/Cookie: (.*)\\r\\n/', $buffer, $found);
                $seen = [$done, $user->resource, $user->host, $user->origin, $found[1]];
                $this->send($user->socket, json_encode($seen));
                return $done;
            }
        """)
        headers = {"Cookie": "a=1; b=2"}
        with script.client("/x?y=z", origin="http://127.0.0.1", additional_headers=headers) as client:
            host = f"127.0.0.1:{script.port}".replace("/", "\\/")
            self.assertEqual(client.receive(), f'[true,"\\/x?y=z","{host}","http:\\/\\/127.0.0.1","a=1; b=2"]')
        self.assertEqual(script.complaints(), [])

    def test_what_it_throws_ends_nobody(self):
        script = self.run_with("""
            function process($user, $msg) {
                if ($msg == 'throw') { throw new Exception('on purpose'); }
                $this->send($user->socket, $msg);
            }
        """)
        with script.client() as client:
            client.send("throw")
            self.assertEqual(client.ask("still here"), "still here")
        wait_for(lambda: script.says("threw Exception: on purpose"), "the complaint")


if __name__ == "__main__":
    unittest.main()
