"""Family "push": new Server($address, $port, $verboseMode), with a forked child for each client."""

import os
import re
import signal
import unittest
from pathlib import Path

from websockets.exceptions import InvalidStatus

from stage import Script, lines, say, wait_for, windows


def lives(pid):
    """Does the process run? One that has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def end(pid):
    """For children that a failed test has left."""
    if lives(pid):
        os.kill(pid, signal.SIGKILL)


def process_in(text):
    return int(re.search(r"process (\d+)", text)[1])


class Example(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ada, cls.grace = windows(cls)

    def setUp(self):
        self.script = Script("push")
        self.addCleanup(self.script.kill)

    def pushes(self, browser, count):
        wait_for(lambda: len(lines(browser)) >= count, f"{count} pushes")
        return process_in(lines(browser)[-1])

    def test_two_windows_and_a_client_are_pushed_to(self):
        for browser in (self.ada, self.grace):
            self.script.open(browser)
        processes = [self.pushes(browser, 2) for browser in (self.ada, self.grace)]
        with self.script.client() as client:
            processes.append(process_in(client.receive()))
            self.assertRegex(client.receive(), r"^process \d+ says \d\d:\d\d:\d\d$")
            self.assertEqual(len({*processes, self.script.process.pid}), 4, "one process each")

            say(self.ada, "quit")
            wait_for(lambda: not lives(processes[0]), "the process to end")
            self.pushes(self.grace, len(lines(self.grace)) + 1)  # so what the process has still said is there
            said = len(lines(self.ada))
            self.pushes(self.grace, len(lines(self.grace)) + 2)
            self.assertEqual((len(lines(self.ada)), self.ada.text("#state")), (said, "Open"))

            self.grace.open("about:blank")
            wait_for(lambda: not lives(processes[1]), "the process to end with its window")
            client.receive()
        wait_for(lambda: not lives(processes[2]), "the process to end with its client")
        self.assertEqual(self.ada.console() + self.grace.console(), [])
        self.assertEqual(self.script.complaints(), [])

    def test_every_step_is_printed(self):
        with self.script.client() as client:
            client.receive()
            client.send("q\x1buit")
            client.send("quit")
            wait_for(lambda: self.script.says("Process .* ends"), "the end")
        wait_for(lambda: self.script.says("disconnected"), "the disconnection")
        stamp, who = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] ", r"[Cc]lient #\w+"
        for step in ("Server started on 127.0.0.1:0", "Waiting for clients", f"{who} connected",
                     rf"Process \d+ pushes to {who}", rf"Send 'process \d+ says .*' to {who}", rf"{who} says q\?uit",
                     f"{who} says quit", r"Process \d+ ends", f"{who} disconnected"):
            self.assertTrue(self.script.says(f"(?m)^{stamp}{step}$"), (step, self.script.lines))

    def test_no_child_outlives_it(self):
        for sent in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=sent.name):
                script = Script("push")
                self.addCleanup(script.kill)
                with script.client() as one, script.client() as other:
                    processes = [process_in(client.receive()) for client in (one, other)]
                    self.assertEqual(script.end(sent), 0)
                    self.assertEqual((one.closed(), other.closed()), ((1001, ""), (1001, "")))
                    wait_for(lambda: not any(map(lives, processes)), "the children to end")
                self.assertEqual(script.lines[-1], "bye")

    def test_children_of_a_server_that_was_killed_end_by_themselves(self):
        with self.script.client() as client:
            process = process_in(client.receive())
            self.addCleanup(end, process)
            self.assertTrue(lives(process))
            os.kill(self.script.process.pid, signal.SIGKILL)
            wait_for(lambda: not lives(process), "the child to end")


class Pushing(unittest.TestCase):
    def run_with(self, code, **options):
        script = Script(code="require COMPAT . '/push.php'; " + code, **options)
        self.addCleanup(script.kill)
        return script

    def test_without_a_word_of_the_script_it_says_how_long_it_waits(self):
        script = self.run_with("$server = new Server('127.0.0.1', 0); $server->run();")
        with script.client() as client:
            self.assertRegex(client.receive(), r"^I am waiting [2-5] seconds$")
        script.terminate()
        self.assertEqual([line for line in script.lines if "wsengine info" not in line], [], "it is not verbose")

    def test_a_data_source_says_what_is_pushed(self):
        script = self.run_with("""
            class Count extends \\PushWebSocket\\Server {
                public function __construct($address = '127.0.0.1', $port = 5001, $verboseMode = false) {
                    parent::__construct($address, $port, $verboseMode);
                    $this->setDataSource(function () { static $count = 0; return ++$count; });
                }
            }
            $server = new Count('127.0.0.1', 0, true);
            $server->run();
        """)
        with script.client() as client, script.client() as other:
            self.assertEqual([client.receive(), client.receive()], ["1", "2"])
            self.assertEqual(other.receive(), "1")
            client.send("exit")
            wait_for(lambda: script.says("Process .* ends"), "the end")
        self.assertEqual(script.complaints(), [])

    def test_a_process_that_returns_or_throws_has_ended(self):
        script = self.run_with("""
            register_shutdown_function(function () { echo "shutdown\\n"; });
            class Once extends Server {
                protected function startProcess($client) {
                    if ($pid = pcntl_fork()) { $client->setPid($pid); return; }
                    $this->send($client, 'process ' . getmypid());
                    if (count($this->clients) == 2) { throw new Exception('on purpose'); }
                }
                protected function action($client, $action) {
                    $this->send($client, json_encode([$this->unmask($action), $client->getPid() === null]));
                }
            }
            $server = new Once('127.0.0.1', 0);
            $server->run();
        """)
        with script.client() as one, script.client() as other:
            for client in (one, other):
                process = process_in(client.receive())
                wait_for(lambda: not lives(process), "the child to end")
                wait_for(lambda: client.ask("reaped?") == '["reaped?",true]', "the child to be waited for")
            wait_for(lambda: script.says("Exception: on purpose"), "the complaint")
        self.assertEqual(script.terminate(), 0)
        self.assertEqual(script.lines.count("shutdown"), 1)

    def test_a_process_that_only_waits_ends_as_well(self):
        script = self.run_with("""
            class Lazy extends Server {
                protected function startProcess($client) {
                    if ($pid = pcntl_fork()) { $client->setPid($pid); return; }
                    $this->send($client, 'process ' . getmypid());
                    sleep(60);
                }
            }
            $server = new Lazy('127.0.0.1', 0);
            $server->run();
        """)
        with script.client() as client:
            process = process_in(client.receive())
        wait_for(lambda: not lives(process), "the child to end with its client")
        with script.client() as client:
            process = process_in(client.receive())
            self.addCleanup(end, process)
            self.assertEqual(script.terminate(), 0)
            wait_for(lambda: not lives(process), "the child to end with the script")

    def test_a_process_learns_that_its_client_is_not_connected(self):
        script = self.run_with("""
            class Silent extends Server {
                protected function startProcess($client) {
                    if ($pid = pcntl_fork()) { $client->setPid($pid); return; }
                    $this->send($client, 'process ' . getmypid());
                    while ($client->isConnected()) { usleep(10000); }
                }
            }
            $server = new Silent('127.0.0.1', 0);
            $server->run();
        """)
        with script.client() as client:
            process = process_in(client.receive())
            self.addCleanup(end, process)
            os.kill(script.process.pid, signal.SIGKILL)
            wait_for(lambda: not lives(process), "the child to end")

    def test_there_are_as_many_clients_as_the_administrator_says(self):
        script = self.run_with("(new Server('127.0.0.1', 0))->run();", settings=["wsengine.max_connections=1"])
        with script.client(), self.assertRaises(InvalidStatus) as refusal, script.client():
            pass
        self.assertEqual(refusal.exception.response.status_code, 503)


if __name__ == "__main__":
    unittest.main()
