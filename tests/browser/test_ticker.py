"""The ticker and its page: each window hears of what it picked."""

import json
import unittest

from client import TEXT, Client
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


def price(browser, name):
    return browser.text(f"#price-{name}")


def connect(browser, server):
    browser.open(server.url)
    browser.console()
    browser.click("#connect")
    wait_for(lambda: browser.texts("#prices label"), "the names")


def changes(browser, name):
    """Watches a price until it has changed twice."""
    for _ in range(2):
        before = price(browser, name)
        wait_for(lambda: price(browser, name) != before, f"a change of {name}")


class TheTicker(unittest.TestCase):
    def setUp(self):
        self.server = Server("ticker")
        self.addCleanup(self.server.kill)

    def test_each_window_hears_of_what_it_picked(self):
        connect(first, self.server)
        connect(second, self.server)
        first.click("input[value=gold]")
        second.click("input[value=silver]")
        changes(first, "gold")
        changes(second, "silver")
        self.assertEqual(price(first, "silver"), "–")
        self.assertEqual(price(second, "gold"), "–")

        first.click("input[value=gold]")
        first.click("input[value=silver]")
        changes(first, "silver")
        # What comes in one order goes out in it: nothing of gold is on its way any more.
        left = price(first, "gold")
        changes(first, "silver")
        self.assertEqual(price(first, "gold"), left)
        self.assertEqual(first.console(), [])

        first.click("#disconnect")
        wait_for(lambda: first.text("#state") == "Closed", "the close")
        self.assertEqual(first.texts("#prices label"), [])
        changes(second, "silver")

    def test_a_stopped_server_says_goodbye(self):
        connect(first, self.server)
        self.assertEqual(self.server.terminate(), 0)
        self.assertEqual(self.server.lines[-1], "bye")
        wait_for(lambda: "1001, going away" in first.text("#detail"), "the close code in words")

    def test_a_phone_needs_no_sideways_scrolling(self):
        self.addCleanup(first.as_desktop)
        first.as_phone(320, 568)
        connect(first, self.server)
        self.assertEqual(first.sticks_out(), [])

    def test_nonsense_ends_the_connection_and_nothing_else(self):
        connect(first, self.server)
        for nonsense in (b"[", b"[]", b'"x"', b"7", b'{"watch": 7}', b'{"watch": "lead"}', b'{"leave": []}'):
            with self.subTest(nonsense):
                client = Client(self.server.port)
                self.addCleanup(client.close)
                self.assertEqual(json.loads(client.receive()[1])["names"][0], "gold")
                client.send(TEXT, nonsense)
                opcode, payload = client.receive()
                self.assertEqual((opcode, payload[:2]), (8, (1008).to_bytes(2, "big")))
        first.click("input[value=tin]")
        changes(first, "tin")
        self.assertFalse(self.server.says("error"))


if __name__ == "__main__":
    unittest.main()
