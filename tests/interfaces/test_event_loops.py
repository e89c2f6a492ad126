"""A server within the event loop of amphp, as docs/php-server.md shows it."""

import signal
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "target/release/libwsengine_php.so"
SECONDS = 10
CLIENTS = 100

sys.path.insert(0, str(ROOT / "tests/browser"))
from client import TEXT, Client  # noqa: E402

AMP = f"""
    require 'Amp/autoload.php';
    require 'Amp/functions.php';
    require 'Amp/Internal/functions.php';
    require '{ROOT}/php-ext/lib/autoload.php';
    use Amp\\Loop;

    set_error_handler(fn ($level, $text) => $level === E_DEPRECATED || exit("$text\\n"));
    $server = WsEngine\\Server::listen('127.0.0.1:0');
    $server->on('message', function (WsEngine\\Connection $connection, string $data) {{
        if ($data === 'throw') throw new Exception('thrown');
        Loop::delay(5, fn () => $connection->send($data));
    }});
    $server->every(0.01, fn () => $server->broadcast('timer'));
    Loop::run(function () use ($server) {{
        $ids = [
            Loop::onReadable($server->stream(), fn () => $server->process()),
            Loop::repeat(10, fn () => $server->process()),
            Loop::onSignal(SIGTERM, fn () => $server->stop(1)),
        ];
        $server->on('stop', fn () => array_map(Loop::cancel(...), $ids));
        echo $server->info->port, "\\n";
    }});
    echo "done\\n";
"""


class AmphpTest(unittest.TestCase):
    def test_messages_timers_signals_and_the_stop(self):
        command = ["php", "-q", "-d", f"extension={EXTENSION}", "-r", AMP]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(server.communicate)
        self.addCleanup(server.kill)
        port = int(server.stdout.readline())
        clients = [Client(port) for _ in range(CLIENTS)]
        for client in clients:
            self.addCleanup(client.close)
        clients[0].send(TEXT, b"throw")
        for number, client in enumerate(clients):
            client.send(TEXT, b"message %d" % number)
        for number, client in enumerate(clients):
            received = set()
            while received != {b"timer", b"message %d" % number}:
                received.add(client.receive()[1])
        server.send_signal(signal.SIGTERM)
        for client in clients:
            opcode = TEXT
            while opcode == TEXT:
                opcode, payload = client.receive()
            self.assertEqual((opcode, payload[:2]), (8, (1001).to_bytes(2, "big")))
            client.send(8, payload[:2])
        output, errors = server.communicate(timeout=SECONDS)
        self.assertEqual((server.returncode, output), (0, "done\n"))
        self.assertIn("threw Exception: thrown", errors)


if __name__ == "__main__":
    unittest.main()
