"""What a service tells systemd (sd_notify(3)), on a socket of our own in its place: that it is ready, alive and stopping."""

import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from matrix import ROOT, SECONDS, compile_c
from test_activation import REQUEST

C = [str(ROOT / "target/examples-c/echo"), "127.0.0.1:0", "systemd_notify=on"]
# It polls for a second, then it is stuck, until SIGUSR1 lets it poll again.
STUCK = """
pcntl_async_signals(true);
$stuck = true;
pcntl_signal(SIGUSR1, function () use (&$stuck) { $stuck = false; });
ws_server_start(['listen' => '127.0.0.1:0', 'systemd_notify' => true]);
for ($end = microtime(true) + 1; microtime(true) < $end; ) { ws_poll_events(10, 0.1); }
echo "stuck\\n";
while ($stuck) { usleep(10000); }
echo "polling\\n";
while (true) { ws_poll_events(10, -1); }
"""
PHP = ["php", "-d", f"extension={ROOT / 'target/release/libwsengine_php.so'}", "-r", STUCK]
WATCHDOG = 0.2


class Systemd(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name) / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)

    def start(self, command, address, watchdog=None, watchdog_pid=None):
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(SECONDS)
        environment = {**os.environ, "NOTIFY_SOCKET": address}
        if watchdog:
            environment["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        if watchdog_pid:
            environment["WATCHDOG_PID"] = str(watchdog_pid)
        server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        return server

    def heard(self):
        return self.socket.recv(100).decode()

    def heard_within(self, seconds):
        """All that comes in this time."""
        heard, deadline = [], time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                heard.append(self.heard())
            except TimeoutError:
                break
        self.socket.settimeout(SECONDS)
        return heard

    def test_a_service_says_that_it_is_ready_and_that_it_stops(self):
        for address in self.path, f"@wsengine-test-{os.getpid()}":
            with self.subTest(address):
                self.setUp()
                server = self.start(C, address)
                self.assertEqual(self.heard(), "READY=1")
                self.assertIn("listening on", server.stdout.readline())
                server.terminate()
                self.assertEqual(self.heard(), "STOPPING=1")
                self.assertEqual(server.wait(SECONDS), 0)

    def test_the_watchdog_hears_of_a_host_that_waits_for_events(self):
        server = self.start(C, self.path, WATCHDOG)
        self.assertEqual(self.heard(), "READY=1")
        for _ in range(5):
            self.assertEqual(self.heard(), "WATCHDOG=1")
        server.terminate()
        while self.heard() != "STOPPING=1":
            pass

    def test_the_watchdog_of_another_process_is_not_ours(self):
        self.start(C, self.path, WATCHDOG, watchdog_pid=1)
        self.assertEqual(self.heard(), "READY=1")
        self.assertEqual(self.heard_within(3 * WATCHDOG), [])

    def test_a_script_that_is_stuck_is_not_alive(self):
        server = self.start(PHP, self.path, WATCHDOG)
        self.assertEqual(self.heard(), "READY=1")
        self.assertEqual(self.heard(), "WATCHDOG=1")
        self.assertEqual(server.stdout.readline(), "stuck\n")
        self.heard_within(2 * WATCHDOG)  # what it has done before
        # One may have been on its way for longer.
        self.assertLess(len(self.heard_within(5 * WATCHDOG)), 2)
        self.assertEqual(self.heard_within(5 * WATCHDOG), [])
        server.send_signal(signal.SIGUSR1)
        self.assertEqual(server.stdout.readline(), "polling\n")
        self.assertEqual([self.heard(), self.heard()], ["WATCHDOG=1"] * 2)

    def test_a_loop_that_is_stuck_is_not_alive_once_an_event_waits_for_it(self):
        """Until then it may be that it waits for the descriptor, as it should."""
        program = self.path + "-loop"
        compile_c(Path(__file__).with_name("loop.c"), program)
        server = self.start([program], self.path, WATCHDOG)
        self.assertEqual([self.heard() for _ in range(4)], ["READY=1"] + ["WATCHDOG=1"] * 3)
        host, port = server.stdout.readline().strip().split(":")
        server.send_signal(signal.SIGUSR1)
        self.assertGreater(len(self.heard_within(5 * WATCHDOG)), 2)
        with socket.create_connection((host, int(port)), SECONDS) as client:
            client.sendall(REQUEST)
            self.assertTrue(client.recv(1000).startswith(b"HTTP/1.1 101 "))
            self.heard_within(2 * WATCHDOG)  # what it has done before
            self.assertEqual(self.heard_within(5 * WATCHDOG), [])
            server.send_signal(signal.SIGUSR1)
            self.assertEqual([self.heard(), self.heard()], ["WATCHDOG=1"] * 2)

    def test_the_units_of_the_example_are_sound(self):
        units = sorted((ROOT / "examples/systemd").iterdir())
        command = ["systemd-analyze", "verify", "--man=no", *units]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        # What it does not know it only tells.
        self.assertEqual((len(units), done.returncode, done.stdout), (2, 0, ""))

    def test_without_the_option_nothing_is_said(self):
        server = self.start(C[:-1], self.path, WATCHDOG)
        self.assertIn("listening on", server.stdout.readline())
        self.assertEqual(self.heard_within(3 * WATCHDOG), [])


if __name__ == "__main__":
    unittest.main()
