"""Old scripts on the engine, as their users start them, with Chromium windows and a client of Python's websockets.

A test is of a family: `Script("callback")` runs examples/php/legacy/callback/server.php, `Script(code=…)` a script of
its own that may say require COMPAT . '/callback.php'.
"""

import sys
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/browser"))
from servers import Server, php  # noqa: E402, F401 # they lie in another folder
from webdriver import Browser, Driver, wait_for  # noqa: E402

COMPAT = ROOT / "php-ext/lib/Compat"
SECONDS = 10


class Script(Server):
    """A running script. It listens on a free port; only the engine's log tells which."""

    READY = r'wsengine info: listening addresses=\["[^"]+'

    def __init__(self, family="page", *arguments, port=0, address="127.0.0.1", settings=(), code=None, stdin=None):
        settings = ["wsengine.log_level=info", "error_reporting=-1", "display_errors=stderr", "log_errors=0", *settings]
        settings.append(f"wsengine.static_root={ROOT / 'examples/php/legacy/page'}")
        code = code and f"const COMPAT = '{COMPAT}'; {code}"
        options = {"address": address, "settings": settings, "script": code, "stdin": stdin}
        super().__init__(f"legacy/{family}", port, *arguments, **options)

    def complaints(self):
        """What PHP has to say of the script: nothing, as a rule."""
        return [line for line in self.lines if line.startswith(("PHP ", "Warning", "Notice", "Deprecated", "Fatal"))]

    def client(self, path="/", **options):
        """A client; `with` closes it."""
        return Client(self.port, path, **options)

    def open(self, browser, path="/"):
        """Has a window open the page and connect."""
        browser.open(f"http://127.0.0.1:{self.port}/")
        browser.console()
        if path != "/":
            browser.fill("#address", f"ws://127.0.0.1:{self.port}{path}")
        browser.click("#connect")
        wait_for(lambda: browser.text("#state") == "Open", "the window to be connected")


class Client:
    """A WebSocket by Python's websockets, open within `with`."""

    def __init__(self, port, path="/", host="127.0.0.1", **options):
        self.connecting = connect(f"ws://{host}:{port}{path}", proxy=None, open_timeout=SECONDS, **options)

    def __enter__(self):
        self.websocket = self.connecting.__enter__()
        return self

    def __exit__(self, *error):
        self.connecting.__exit__(*error)

    def send(self, message):
        self.websocket.send(message)

    def send_together(self, *messages):
        """All at once, before the answer to the first can come."""
        with self.websocket.protocol_mutex:
            for message in messages:
                self.websocket.protocol.send_text(message.encode())
            self.websocket.send_data()

    def receive(self):
        return self.websocket.recv(SECONDS)

    def ask(self, message):
        self.send(message)
        return self.receive()

    def closed(self):
        """Waits for the end; the close code and the reason that came. Messages before it are dropped."""
        try:
            while True:
                self.receive()
        except ConnectionClosed as end:
            return (end.rcvd.code, end.rcvd.reason) if end.rcvd else (1006, "")


def windows(case, count=2):
    """So many windows for the tests of a class; called in setUpClass."""
    driver = Driver()
    case.addClassCleanup(driver.stop)
    browsers = []
    for _ in range(count):
        browsers.append(Browser(driver))
        case.addClassCleanup(browsers[-1].close)
    return browsers


def say(browser, text):
    browser.fill("#message", text)
    browser.click("#send")


def lines(browser):
    """What came from the server."""
    return browser.texts("#log .line")
