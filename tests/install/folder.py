"""A test with a temporary folder, in which it runs commands."""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# As it was when cargo built: pyenv, for one, runs Python with another, and cargo builds anew what has asked for it.
PATH = os.environ.get("BUILD_PATH", os.environ["PATH"])

sys.path.insert(0, str(ROOT / "tests/browser"))
from client import TEXT, Client  # noqa: E402

__all__ = ["ROOT", "TEXT", "Folder"]


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_in(self, folder, *command, **environment):
        """What it prints. It must succeed."""
        done = subprocess.run(
            [str(word) for word in command],
            cwd=folder,
            env={**os.environ, "PATH": PATH, **environment},
            timeout=500,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}")
        return done.stdout

    def found(self, pattern):
        """The only file of this kind."""
        paths = list(self.folder.rglob(pattern))
        self.assertEqual(len(paths), 1, paths)
        return paths[0]

    def connect_to(self, command, environment):
        """Runs a server that prints its address, and connects to it."""
        server = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        output = ""
        while not (address := re.search(r"127\.0\.0\.1:(\d+)", output)):
            line = server.stdout.readline()
            self.assertTrue(line, f"{command} ended: {output}")
            output += line
        client = Client(int(address[1]))
        self.addCleanup(client.close)
        return client
