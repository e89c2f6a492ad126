"""The page of the orders: an ordinary page of PHP whose form tells all windows of an order."""

import os
import signal
import subprocess
import tempfile
import unittest
import urllib.request

from servers import EXAMPLES, Server, free_port
from webdriver import Browser, Driver, wait_for


def setUpModule():
    global driver, first, second
    driver = Driver()
    unittest.addModuleCleanup(driver.stop)
    first = Browser(driver)
    unittest.addModuleCleanup(first.close)
    second = Browser(driver)
    unittest.addModuleCleanup(second.close)


class Page:
    """`php -S`, which knows where the server of the example is."""

    def __init__(self, push, port):
        self.port = free_port()
        self.process = subprocess.Popen(
            ["php", "-q", "-S", f"127.0.0.1:{self.port}", "-t", str(EXAMPLES / "orders/public")],
            env={**os.environ, "ORDERS_SOCKET": push, "ORDERS_PORT": str(port), "TMPDIR": os.path.dirname(push)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        self.url = f"http://127.0.0.1:{self.port}/"
        wait_for(self.answers, "php -S to answer")

    def answers(self):
        try:
            return urllib.request.urlopen(self.url, timeout=5).status == 200
        except OSError:
            return False

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)


class TheOrders(unittest.TestCase):
    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="wsengine-orders-"))
        push = f"{folder}/push.sock"
        self.server = Server("orders", 0, push)
        self.addCleanup(self.server.kill)
        self.page = Page(push, self.server.port)
        self.addCleanup(self.page.end)

    def open(self, browser):
        browser.open(self.page.url)
        browser.console()
        wait_for(lambda: "by themselves" in browser.text("#state"), "the connection")

    def test_an_order_in_one_window_appears_in_the_other(self):
        self.open(first)
        self.open(second)
        second.fill("input[name=order]", "two teapots <b>&amp;</b> a cup")
        second.click("button")
        wait_for(lambda: first.texts("#orders li") == ["two teapots <b>&amp;</b> a cup"], "the order in the other window")
        # The window that ordered is on its way to a new page, and may have been told on its old one.
        wait_for(lambda: "open pages know" in second.text("#said"), "the answer to who ordered")
        self.assertEqual(second.texts("#orders li"), ["two teapots <b>&amp;</b> a cup"])
        self.assertEqual(first.console(), [])
        first.as_phone(320, 568)
        self.addCleanup(first.as_desktop)
        self.assertEqual(first.sticks_out(), [])

    def test_without_the_server_orders_are_saved_and_the_page_says_so(self):
        self.open(first)
        self.assertEqual(self.server.terminate(), 0)
        wait_for(lambda: "after a reload" in first.text("#state"), "the page to say so")
        first.fill("input[name=order]", "a spoon")
        first.click("button")
        wait_for(lambda: "Saved, but the WebSocket server is not there" in first.text("#said"), "what became of it")
        self.assertEqual(first.texts("#orders li"), ["a spoon"])


if __name__ == "__main__":
    unittest.main()
