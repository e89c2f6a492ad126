"""Clients for Redis that others wrote push into a server without any Redis, in the words of docs/pushing.md; and the page
of the orders, whose form does so with plain PHP."""

import json
import os
import re
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

import redis
from matrix import EXTENSION, ROOT, SECONDS
from websockets.sync.client import connect

SERVER = ROOT / "examples/php/orders/server.php"
DOCS = (ROOT / "docs/pushing.md").read_text()
CHANNEL = "wse:shop:topic:orders"
TEXT = 'grüße "quoted"'


class Orders:
    """The example, with a socket of its own to push to."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="wsengine-push-")
        self.push = f"{self.folder.name}/push.sock"
        command = ["php", "-q", "-d", f"extension={EXTENSION}", str(SERVER), "127.0.0.1", "0", self.push]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(re.search(r":(\d+)$", self.process.stdout.readline().strip())[1])

    def open(self):
        return connect(f"ws://127.0.0.1:{self.port}/", open_timeout=SECONDS)

    def end(self):
        self.process.terminate()
        said = self.process.communicate(timeout=SECONDS)[0]
        self.folder.cleanup()
        return self.process.returncode, said


def wait_for_members(client, *members):
    """Until the script has subscribed them all, of which the answer tells."""
    while client.publish(CHANNEL, "are you all there?") < len(members):
        pass
    client.publish(CHANNEL, "yes")
    for member in members:
        while member.recv(SECONDS) != "yes":
            pass


def run(*command, **more):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=SECONDS, **more)
    if done.returncode != 0:
        raise AssertionError(f"{command[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


class Pushes(unittest.TestCase):
    def setUp(self):
        self.server = Orders()
        self.addCleanup(self.server.end)
        self.members = [self.enterContext(self.server.open()) for _ in range(2)]
        self.redis = self.enterContext(redis.Redis(unix_socket_path=self.server.push))
        wait_for_members(self.redis, *self.members)

    def received(self, count=1):
        """What both have got, which is the same."""
        first, second = ([member.recv(SECONDS) for _ in range(count)] for member in self.members)
        self.assertEqual(first, second)
        return first

    def test_redis_py(self):
        self.assertEqual(self.redis.publish(CHANNEL, TEXT), 2)
        self.assertEqual(self.redis.publish(CHANNEL, b"\xff\x00"), 2)
        self.assertEqual(self.received(2), [TEXT, b"\xff\x00"])
        with self.assertRaisesRegex(redis.ResponseError, "means nobody; a channel is wse:shop:all"):
            self.redis.publish("orders", TEXT)
        with self.redis.pipeline(transaction=False) as pipeline:
            for number in range(1_000):
                pipeline.publish(CHANNEL, number)
            self.assertEqual(pipeline.execute(), [2] * 1_000)
        self.assertEqual(self.received(1_000), [str(number) for number in range(1_000)])

    def test_redis_cli(self):
        self.assertEqual(run("redis-cli", "-s", self.server.push, "PUBLISH", CHANNEL, TEXT), "2\n")
        self.assertEqual(self.received(), [TEXT])
        self.assertIn("PONG", run("redis-cli", "-s", self.server.push, "PING"))

    def test_phpredis(self):
        script = f"""$redis = new Redis(); $redis->connect('{self.server.push}');
            echo $redis->publish('{CHANNEL}', $argv[1]), $redis->ping() ? ' pong' : '';"""
        self.assertEqual(run("php", "-r", script, "--", TEXT), "2 pong")
        self.assertEqual(self.received(), [TEXT])

    def test_predis(self):
        script = f"""require 'Predis/autoload.php';
            $redis = new Predis\\Client(['scheme' => 'unix', 'path' => '{self.server.push}']);
            echo $redis->publish('{CHANNEL}', $argv[1]);"""
        self.assertEqual(run("php", "-r", script, "--", TEXT), "2")
        self.assertEqual(self.received(), [TEXT])

    def test_node_redis(self):
        script = f"""const {{ createClient }} = require('redis');
            (async () => {{
                const client = createClient({{ socket: {{ path: '{self.server.push}' }} }});
                await client.connect();
                console.log(await client.publish('{CHANNEL}', process.argv[1]));
                await client.quit();
            }})();"""
        node = {**os.environ, "NODE_PATH": "/usr/share/nodejs"}
        self.assertEqual(run("node", "-e", script, TEXT, env=node), "2\n")
        self.assertEqual(self.received(), [TEXT])

    def test_the_function_of_the_docs(self):
        function = re.search(r"```php\n(function push.*?\n}\n)", DOCS, re.S)[1]
        self.assertIn("unix:///run/shop/push.sock", function)
        script = f"{function} echo push('{CHANNEL}', $argv[1], 'unix://{self.server.push}');"
        self.assertEqual(run("php", "-r", script, "--", TEXT), "2")
        self.assertEqual(self.received(), [TEXT])
        script = f"{function} push('nobody', 'x', 'unix://{self.server.push}');"
        done = subprocess.run(["php", "-r", script], capture_output=True, text=True, timeout=SECONDS)
        self.assertIn("not pushed: -ERR channel \"nobody\" means nobody", done.stdout + done.stderr)

    def test_an_envelope(self):
        head = json.dumps({"op": "binary", "except": []})
        self.assertEqual(self.redis.publish("wse:shop:all", f"\x01{head}\nhello"), 2)
        self.assertEqual(self.received(), [b"hello"])

    def test_who_pushes_may_die_in_the_middle(self):
        with socket.socket(socket.AF_UNIX) as half:
            half.connect(self.server.push)
            half.sendall(b"*3\r\n$7\r\nPUBLISH\r\n$12\r\nwse:shop:all\r\n$5\r\nhe")
        self.assertEqual(self.redis.publish(CHANNEL, "after"), 2)
        self.assertEqual(self.received(), ["after"], "half a push is nothing")


class ThePage(unittest.TestCase):
    """As `php -S` runs it; in a browser see tests/browser/test_orders.py."""

    def test_an_order_is_saved_whether_or_not_somebody_hears_of_it(self):
        server = Orders()
        page = f"{server.folder.name}/page.php"
        Path(page).write_text(
            "<?php $_SERVER['REQUEST_METHOD'] = 'POST'; $_POST['order'] = $argv[1]; "
            f"register_shutdown_function(fn () => print(json_encode(headers_list()))); require '{SERVER.parent}/public/index.php';"
        )
        env = {**os.environ, "ORDERS_SOCKET": server.push, "ORDERS_PORT": str(server.port), "TMPDIR": server.folder.name}
        with server.open() as member, redis.Redis(unix_socket_path=server.push) as client:
            wait_for_members(client, member)
            run("php", page, "two teapots", env=env)
            self.assertEqual(member.recv(SECONDS), "two teapots")
        self.assertEqual(server.process.poll(), None)
        server.process.terminate()
        self.assertIn("bye", server.process.communicate(timeout=SECONDS)[0])
        run("php", page, "a third", env=env)
        saved = [file.read_text() for file in Path(server.folder.name).glob("wsengine-orders-*.txt")]
        self.assertEqual(saved, ["two teapots\na third\n"])
        server.folder.cleanup()


if __name__ == "__main__":
    unittest.main()
