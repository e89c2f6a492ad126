"""A certificate authority of our own and a server's certificate by it, made anew for each run by openssl."""

import atexit
import base64
import functools
import hashlib
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

CONFIG = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True)
class Certificates:
    """What clients trust, and what the server needs."""

    authority: Path
    server: Path
    key: Path

    def fingerprint(self) -> str:
        """SHA-256 of the public key, as Chromium's --ignore-certificate-errors-spki-list wants it."""
        pem = openssl("x509", "-in", self.server, "-noout", "-pubkey")
        der = base64.b64decode("".join(line for line in pem.splitlines() if not line.startswith("-----")))
        return base64.b64encode(hashlib.sha256(der).digest()).decode()


@functools.cache
def certificates() -> Certificates:
    temporary = tempfile.TemporaryDirectory(prefix="wsengine-interop-")
    atexit.register(temporary.cleanup)
    folder = Path(temporary.name)
    config, authority_key = folder / "openssl.cnf", folder / "authority.key"
    config.write_text(CONFIG)
    made = Certificates(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    new = ["req", "-x509", "-config", config, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    new += ["-nodes", "-days", "2"]
    authority = ["-extensions", "authority", "-subj", "/CN=wsengine test authority"]
    openssl(*new, *authority, "-keyout", authority_key, "-out", made.authority)
    server = ["-extensions", "server", "-subj", "/CN=localhost"]
    server += ["-CA", made.authority, "-CAkey", authority_key]
    openssl(*new, *server, "-keyout", made.key, "-out", made.server)
    return made


def openssl(*arguments) -> str:
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")
    return done.stdout
