"""The push server and its page: each window is spoken to on its own, until it says quit or goes away."""

import http.client
import re
import unittest

from servers import Server
from webdriver import Browser, Driver, wait_for


def setUpModule():
    global driver, first, second
    driver = Driver()
    unittest.addModuleCleanup(driver.stop)
    first = Browser(driver)
    unittest.addModuleCleanup(first.close)
    second = Browser(driver)
    unittest.addModuleCleanup(second.close)


def handshake_status(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/", headers={
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    })
    status = connection.getresponse().status
    connection.close()
    return status


def said(browser, by):
    return browser.texts(f".{by} .text")


def connect(browser):
    browser.click("#connect")
    wait_for(lambda: said(browser, "server"), "the welcome")


def connect_when_there_is_room(browser):
    """A place is free a moment after the script was told of the close: when the browser has closed as well."""

    def is_open():
        if browser.text("#state") == "Closed":
            browser.click_if_visible("#connect")
        return browser.text("#state") == "Open"

    wait_for(is_open, "room")


class ThePush(unittest.TestCase):
    def test_a_window_is_pushed_to_until_it_says_quit(self):
        server = Server("push", 0, 2)
        self.addCleanup(server.kill)
        for browser in (first, second):
            browser.open(server.url)
            browser.console()
            connect(browser)

        wait_for(lambda: len(said(first, "server")) > 1, "the first push", 7)
        welcome, push = said(first, "server")[:2]
        self.assertRegex(welcome, r"^Welcome, you are client 1\. I am waiting [2-5] seconds\.$")
        self.assertRegex(push, r"^Push 1, at \d\d:\d\d:\d\d\. I am waiting [2-5] seconds\.$")
        announced = int(re.search(r"waiting (\d)", welcome)[1])
        took = first.run("""
            const times = [...document.querySelectorAll('.server time')].map((e) => Date.parse(e.dateTime));
            return (times[1] - times[0]) / 1000;
        """)
        self.assertAlmostEqual(took, announced, delta=0.5)

        first.click("#quit")
        wait_for(lambda: first.text("#state") == "Closed", "the server to close")
        self.assertIn("1000, normal closure", first.text("#detail"))
        self.assertIn("“you said quit”", first.text("#detail"))
        self.assertEqual(said(first, "you"), ["quit"])
        self.assertEqual(said(first, "server")[-1], "Bye.")
        states = [line for line in said(first, "page") if line.startswith("readyState")]
        self.assertEqual(states, ["readyState 0: Connecting", "readyState 1: Open", "readyState 3: Closed"])
        self.assertEqual(first.console(), [])

        wait_for(lambda: server.says("client 1: its push ends"), "the console")
        self.assertEqual(second.text("#state"), "Open", "the other window is none the wiser")

        second.open_window(server.url)
        connect(second)
        second.close_window()
        wait_for(lambda: server.says("client 3: closed, 1001"), "the console")

        second.click("#disconnect")
        wait_for(lambda: second.text("#state") == "Closed", "the other end")
        self.assertIn("readyState 2: Closing", said(second, "page"))
        wait_for(lambda: server.says("client 2: closed, 1000.*, 0 connected"), "the console")

    def test_one_client_too_many_gets_503(self):
        server = Server("push", 0, 1)
        self.addCleanup(server.kill)
        first.open(server.url)
        second.open(server.url)
        connect(first)

        self.assertEqual(handshake_status(server.port), 503)
        second.console()
        second.click("#connect")
        wait_for(lambda: second.text("#state") == "Closed", "the refusal")
        self.assertIn("HTTP 503", second.text("#detail"))
        self.assertIn("503", "".join(second.console()), "the browser's own console says what it was")

        first.click("#disconnect")
        wait_for(lambda: server.says("client 1: closed"), "room for another")
        connect_when_there_is_room(second)

    def test_a_phone_needs_no_sideways_scrolling(self):
        server = Server("push")
        self.addCleanup(server.kill)
        self.addCleanup(first.as_desktop)
        first.as_phone(320, 568)
        first.open(server.url)
        self.assertEqual(first.sticks_out(), [])
        connect(first)
        self.assertEqual(first.sticks_out(), [])
        self.assertTrue(first.visible("#quit"))

    def test_a_stopped_server_says_goodbye(self):
        server = Server("push")
        self.addCleanup(server.kill)
        first.open(server.url)
        connect(first)
        self.assertEqual(server.terminate(), 0)
        self.assertEqual(server.lines[-1], "bye")
        wait_for(lambda: "1001, going away" in first.text("#detail"), "the close code in words")


if __name__ == "__main__":
    unittest.main()
