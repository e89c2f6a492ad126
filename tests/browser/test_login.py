"""The login example: links that make a browser a user, and programs that show a token."""

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


def texts(browser):
    return browser.texts(".entry .text")


def say(browser, text):
    browser.fill("#message", text)
    browser.click("#send")


# What Chromium's console says of a 401 and of a 403.
NO_TOKEN, WRONG_TOKEN = "HTTP Authentication failed", "Unexpected response code: 403"


class LoginTestCase(unittest.TestCase):
    def setUp(self):
        self.server = Server("login")
        self.addCleanup(self.server.kill)
        self.home = f"http://127.0.0.1:{self.server.port}/"
        for browser in (first, second):
            browser.open("about:blank")
            browser.devtools("Network.clearBrowserCookies")
            browser.console()

    def link(self, name):
        return wait_for(lambda: self.server.says(rf"http://\S+token={name}\.\S+"), f"{name}'s link")

    def enter(self, browser, name, url=None):
        browser.open(url or self.link(name))
        wait_for(lambda: browser.text("#detail").startswith(f"You are {name}"), f"{name} to be let in")

    def refused(self, browser, url, why):
        browser.open(url)
        wait_for(lambda: browser.text("#detail").startswith("Not let in"), "the refusal")
        self.assertEqual(browser.text("#state"), "Closed")
        self.assertIn(why, "".join(browser.console()))


class TheLinks(LoginTestCase):
    def test_whoever_has_a_link_is_that_user(self):
        self.enter(first, "ada")
        self.enter(second, "grace")
        for browser in (first, second):
            wait_for(lambda: browser.text("#here") == "ada, grace", "both to be here")
        say(first, "good morning")
        say(second, "καλημέρα <b>👋</b>")
        for browser in (first, second):
            wait_for(lambda: sorted(texts(browser)) == ["good morning", "καλημέρα <b>👋</b>"], "both messages")
            self.assertEqual(sorted(browser.texts(".entry .from")), ["ada", "grace"])
        self.assertEqual(first.console() + second.console(), [])

        second.open("about:blank")
        wait_for(lambda: first.text("#here") == "ada", "grace to be gone")
        wait_for(lambda: self.server.says("grace left with code 1001|grace left with code 1000"), "the console")

    def test_the_token_goes_from_the_address_into_a_cookie(self):
        self.enter(first, "ada")
        self.assertEqual(first.run("return location.href"), self.home)
        token = re.search("token=(.+)", self.link("ada"))[1]
        (cookie,) = first.devtools("Network.getCookies", urls=[self.home])["cookies"]
        self.assertEqual((cookie["name"], cookie["value"], cookie["sameSite"]), ("token", token, "Strict"))
        self.enter(first, "ada", self.home)

    def test_the_guest_may_read_and_not_write(self):
        self.enter(first, "ada")
        self.enter(second, "guest")
        self.assertEqual(second.text("#detail"), "You are guest, and may read.")
        say(second, "let me speak")
        wait_for(lambda: texts(second) == ["You may read here, guest, and not write."], "the error")
        say(first, "hello, guest")
        wait_for(lambda: texts(second)[1:] == ["hello, guest"], "what the others say")
        wait_for(lambda: texts(first), "what was said")
        self.assertEqual(texts(first), ["hello, guest"], "what the guest said reached nobody")

    def test_a_wrong_token_and_none_are_refused(self):
        forged = re.sub("token=guest", "token=ada", self.link("guest"))
        self.refused(first, self.home, NO_TOKEN)
        self.refused(first, forged, WRONG_TOKEN)
        self.refused(first, self.home + "?token=ada%3b+Path%3d/", WRONG_TOKEN)
        wait_for(lambda: self.server.says("refused, it has no token"), "the console")
        wait_for(lambda: self.server.says("refused, its token is wrong"), "the console")
        self.enter(first, "ada")

    def test_who_logs_out_stays_out(self):
        self.enter(first, "ada")
        first.click("#logout")
        wait_for(lambda: first.text("#state") == "Closed", "the end")
        self.assertIn("1000, normal closure", first.text("#detail"))
        self.assertEqual(first.run("return document.activeElement.id"), "connect", "the focus stays near")
        self.refused(first, self.home, NO_TOKEN)

    def test_the_links_of_an_earlier_run_open_nothing(self):
        old = re.search(r"token=\S+", self.link("ada"))[0]
        another = Server("login")
        self.addCleanup(another.kill)
        self.refused(first, f"http://127.0.0.1:{another.port}/?{old}", WRONG_TOKEN)

    def test_a_phone_needs_no_sideways_scrolling(self):
        self.addCleanup(first.as_desktop)
        first.as_phone(320, 568)
        self.enter(first, "ada")
        say(first, "a word without a space " + "w" * 300)
        wait_for(lambda: texts(first), "the message")
        self.assertEqual(first.sticks_out(), [])


class Programs(LoginTestCase):
    def handshake(self, path="/", **headers):
        """The status and the header WWW-Authenticate."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=5)
        self.addCleanup(connection.close)
        connection.request("GET", path, headers={
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            **headers,
        })
        response = connection.getresponse()
        return response.status, response.getheader("WWW-Authenticate")

    def test_a_program_shows_its_token_by_header_cookie_or_query(self):
        token = re.search("token=(.+)", self.link("grace"))[1]
        for request in (
            {"Authorization": f"Bearer {token}"},
            {"Authorization": f"bearer  {token}"},
            {"Cookie": f"theme=dark; token={token}"},
            {"path": f"/?token={token}"},
        ):
            with self.subTest(**request):
                self.assertEqual(self.handshake(**request), (101, None))

    def test_what_is_no_token_is_refused(self):
        token = re.search("token=(.+)", self.link("grace"))[1]
        for request, status in (
            ({}, 401),
            ({"Authorization": f"Basic {token}"}, 401),
            ({"path": "/?token[]=x"}, 401),
            ({"path": "/?token="}, 403),
            ({"Authorization": "Bearer grace"}, 403),
            ({"Cookie": f"token={token}x"}, 403),
            ({"Cookie": f"token={token[:-1]}"}, 403),
        ):
            with self.subTest(**request):
                asked = 'Bearer realm="chat"' if status == 401 else None
                self.assertEqual(self.handshake(**request), (status, asked))

    def test_another_site_gets_nothing_by_the_cookie_of_a_user(self):
        token = re.search("token=(.+)", self.link("ada"))[1]
        cookie = {"Cookie": f"token={token}"}
        self.assertEqual(self.handshake(Origin="http://evil.example", **cookie), (403, None))
        self.assertIsNone(self.server.says("comes in"), "the script was not even asked")
        self.assertEqual(self.handshake(Origin=self.home.rstrip("/"), **cookie), (101, None))


if __name__ == "__main__":
    unittest.main()
