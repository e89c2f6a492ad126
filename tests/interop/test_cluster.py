"""Three nodes in PHP with a Redis between them, as docs/cluster.md has it: with a user for the nodes, one for pages that may
publish and nothing else, and TLS."""

import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

import redis
from certificates import certificates
from matrix import EXTENSION, ROOT, SECONDS
from websockets.sync.client import connect

WALL, CHAT = ROOT / "examples/php/workers/server.php", ROOT / "examples/php/chat/server.php"
DOCS = (ROOT / "docs/cluster.md").read_text()
CHANNEL = "wse:wall:topic:wall"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def opened(data):
    """What the engine says of a message, and the message."""
    if not data.startswith("\x01"):
        return {}, data
    head, _, message = data[1:].partition("\n")
    return json.loads(head), message


class Redis:
    """A redis-server with the users of the docs, who are of the app `wall` here."""

    def __init__(self, folder):
        self.port, self.tls_port = free_port(), free_port()
        self.certificates = certificates()
        users = [line.strip().replace("wse:shop:", "wse:wall:") for line in DOCS.splitlines() if line.startswith("    user ")]
        # One for the chat as well, whose nodes keep a history.
        more = re.search(r"^    (~wse:shop:history.*)$", DOCS, re.M)[1]
        chat = f"{users[0]} {more}".replace("wse:wall:", "wse:chat:").replace("wse:shop:", "wse:chat:")
        users.append(chat.replace("user node", "user chat"))
        acl = Path(folder, "users.acl")
        acl.write_text("\n".join([*users, "user default on nopass ~* &* +@all", ""]))
        self.process = subprocess.Popen(
            [
                "redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no",
                "--dir", folder, "--aclfile", str(acl), "--tls-port", str(self.tls_port), "--tls-auth-clients", "no",
                "--tls-cert-file", self.certificates.server, "--tls-key-file", self.certificates.key,
                "--tls-ca-cert-file", self.certificates.authority,
            ],
            stdout=subprocess.PIPE, text=True,
        )
        said = []
        for line in self.process.stdout:
            if "Ready to accept connections" in line:
                return
            said.append(line)
        self.end()
        raise AssertionError("Redis has ended at once: " + "".join(said))

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Node:
    def __init__(self, url, server=WALL, **more):
        command = ["php", "-q", "-d", f"extension={EXTENSION}", str(server), "127.0.0.1", "0"]
        env = {**os.environ, "REDIS": url, **more}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
        self.lines, self.joined = [], threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.joined.wait(SECONDS):
            self.end()
            raise AssertionError("the node has not joined: " + "".join(self.lines))
        self.port = int(re.search(r"127\.0\.0\.1:(\d+)", "".join(self.lines))[1])

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if "joined" in line:
                self.joined.set()

    def open(self):
        return connect(f"ws://127.0.0.1:{self.port}/", open_timeout=SECONDS)

    def end(self):
        self.process.terminate()
        self.process.wait(SECONDS)
        self.reader.join(SECONDS)
        self.process.stdout.close()


class Cluster(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="wsengine-cluster-"))
        cls.redis = Redis(cls.folder)
        cls.addClassCleanup(cls.redis.end)
        cls.admin = redis.Redis(port=cls.redis.port)
        cls.addClassCleanup(cls.admin.close)

    def nodes(self, count, url=None, **more):
        """Nodes, each with one member that has nothing to read."""
        members = []
        for _ in range(count):
            node = Node(url or f"redis://node:secret-of-nodes@127.0.0.1:{self.redis.port}", **more)
            self.addCleanup(node.end)
            members.append(self.enterContext(node.open()))
            self.assertEqual(json.loads(members[-1].recv(SECONDS))["type"], "welcome")
        while dict(self.admin.pubsub_numsub(CHANNEL))[CHANNEL.encode()] < count:
            pass
        return members

    def cli(self, *words, user="page", password="secret-of-pages"):
        command = ["redis-cli", "-p", str(self.redis.port), "--user", user, "--pass", password, "--no-auth-warning", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS).stdout.strip()

    def test_redis_cli_reaches_the_members_of_three_nodes(self):
        members = self.nodes(3)
        self.assertEqual(self.cli("PUBLISH", CHANNEL, "hello"), "3")
        self.assertEqual([member.recv(SECONDS) for member in members], ["hello"] * 3)

    def test_what_one_says_reaches_those_of_all_nodes(self):
        members = self.nodes(3)
        members[1].send("grüße")
        self.assertEqual([json.loads(member.recv(SECONDS))["text"] for member in members], ["grüße"] * 3)

    def test_a_page_may_publish_and_nothing_else(self):
        for words in (["GET", "x"], ["SUBSCRIBE", CHANNEL], ["PUBLISH", "other", "x"], ["CONFIG", "GET", "*"]):
            self.assertIn("NOPERM", self.cli(*words), words)

    def chatter(self, node, name, since):
        """Somebody who is in the chat, the position it hears first, and the texts that were said before."""
        client = self.enterContext(node.open())
        client.send(json.dumps({"type": "join", "name": name, "since": since}))
        while "replay" not in (head := opened(client.recv(SECONDS))[0]):
            pass
        said = [opened(client.recv(SECONDS)) for _ in range(head["replay"])]
        return client, head, [json.loads(text)["text"] for _, text in said]

    def test_history_and_presence_with_the_rights_of_the_docs(self):
        url = f"redis://chat:secret-of-nodes@127.0.0.1:{self.redis.port}"
        nodes = [Node(url, CHAT), Node(url, CHAT)]
        for node in nodes:
            self.addCleanup(node.end)
        ada, _, said = self.chatter(nodes[0], "Ada", "")
        self.assertEqual(said, [])
        ada.send(json.dumps({"type": "say", "text": "grüße"}))
        while "said" not in (heard := opened(ada.recv(SECONDS)))[1]:
            pass
        self.assertEqual(json.loads(heard[1])["text"], "grüße")
        grace, _, said = self.chatter(nodes[1], "Grace", "")
        self.assertEqual(said, ["grüße"])
        _, head, said = self.chatter(nodes[1], "Kay", heard[0]["at"])
        self.assertEqual((head["gap"], said), (False, []))
        seen = set()
        while seen < {"Ada", "Grace", "Kay"}:
            people = opened(grace.recv(SECONDS))[0]
            seen |= {json.loads(person["label"])["name"] for person in people.get("present", []) + people.get("joined", [])}
        self.assertEqual(self.admin.keys("*"), [b"wse:chat:history:talk"])
        self.assertGreater(self.admin.ttl("wse:chat:history:talk"), 86_000)

    def test_tls(self):
        url = f"rediss://node:secret-of-nodes@localhost:{self.redis.tls_port}"
        member, = self.nodes(1, url, SSL_CERT_FILE=str(self.redis.certificates.authority))
        self.assertEqual(self.cli("PUBLISH", CHANNEL, "hello"), "1")
        self.assertEqual(member.recv(SECONDS), "hello")


if __name__ == "__main__":
    unittest.main()
