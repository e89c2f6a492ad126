"""A connection by npm's ws: client.js does what it is told here."""

import json
import os
import subprocess
from pathlib import Path

from certificates import certificates

# Where Debian's packages lie; a Node.js that is not Debian's does not look there by itself.
ENVIRONMENT = {**os.environ, "NODE_PATH": "/usr/share/nodejs"}


class Refused(Exception):
    """What a command's error says."""


class Client:
    """One process for all tests, since its start is what takes longest."""

    def __init__(self):
        script = Path(__file__).with_name("client.js")
        self.process = subprocess.Popen(
            ["node", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )

    def __call__(self, command, **parameters):
        self.process.stdin.write(json.dumps({"command": command, **parameters}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "node has ended"}')
        if "error" in answer:
            raise Refused(answer["error"])
        return answer.get("result")

    def open(self, server, **parameters):
        return self("open", url=server.url(), authority=str(certificates().authority), **parameters)

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.kill()
        self.process.wait()
