"""Chromium as the client, with a page from the echo server itself, by HTTPS where it then speaks wss."""

import sys
import unittest

from certificates import certificates
from matrix import CLOSES, ROOT, ROWS, SIZES, in_rows

sys.path.append(str(ROOT / "tests/browser"))
from webdriver import Browser, Driver  # noqa: E402 # it lies in another folder


def setUpModule():
    global browser
    driver = Driver()
    unittest.addModuleCleanup(driver.stop)
    # Chromium has no option for a certificate authority of one's own; this one trusts a single public key.
    trusted = f"--ignore-certificate-errors-spki-list={certificates().fingerprint()}"
    browser = Browser(driver, flags=[trusted])
    unittest.addModuleCleanup(browser.close)


@in_rows(ROWS)
class Page:
    more_options = ["static_root=tests/interop/page"]

    def setUp(self):
        browser.open(self.server.url("http"))
        self.extensions = browser.run("return openSocket()")

    def test_text_and_binary_of_all_sizes(self):
        agreed = self.extensions.startswith("permessage-deflate")
        self.assertEqual(agreed, self.row.compressed, self.extensions)
        self.assertEqual(browser.run("return echo(arguments[0])", SIZES), [])

    def test_many_messages_in_a_row(self):
        self.assertTrue(browser.run("return many(1000)"))

    def test_closes_are_answered_with_their_code(self):
        # A page may not say 1001.
        for code, reason in (close for close in CLOSES if close[0] != 1001):
            with self.subTest(code=code, reason=reason):
                browser.run("return openSocket()")
                answer = browser.run("return closeSocket(...arguments)", code, reason)
                self.assertEqual((answer[0], answer[2]), (code, True))

    def test_a_close_without_a_code_is_answered_so(self):
        self.assertEqual(browser.run("return closeSocket()"), [1005, "", True])


@in_rows(ROWS)
class Goodbye:
    more_options = ["static_root=tests/interop/page"]

    def test_a_stopped_server_says_goodbye(self):
        browser.open(self.server.url("http"))
        browser.run("return openSocket()")
        self.server.stop()
        self.assertEqual(browser.run("return closed"), [1001, "", True])


if __name__ == "__main__":
    unittest.main()
