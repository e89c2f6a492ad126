"""The chat as people use it: browser windows, the page, and php -q server.php behind it."""

import json
import unittest

from servers import EXAMPLES, Server
from webdriver import ENTER, SHIFT, TAB, Browser, Driver, wait_for


def setUpModule():
    global driver, ada, grace
    driver = Driver()
    unittest.addModuleCleanup(driver.stop)
    ada = Browser(driver)
    unittest.addModuleCleanup(ada.close)
    grace = Browser(driver)
    unittest.addModuleCleanup(grace.close)


def enter(browser, url, handle):
    browser.open(url)
    browser.console()
    browser.fill("#handle", handle)
    browser.click("#connect")
    wait_for(lambda: f"You are here as {handle}" in browser.text("#log"), f"{handle} to be in the chat")


def say(browser, text):
    browser.fill("#message", text)
    browser.click("#send")


def messages(browser):
    return browser.texts(".message .text")


def people(browser):
    return browser.texts("#people .name")


class TwoWindowsChat(unittest.TestCase):
    def setUp(self):
        self.server = Server("chat")
        self.addCleanup(self.server.kill)

    def test_a_message_arrives_in_both_windows(self):
        enter(ada, self.server.url, "Ada")
        enter(grace, self.server.url, "Grace")
        say(ada, "good morning")
        for browser in (ada, grace):
            wait_for(lambda: messages(browser) == ["good morning"], "the message")
        say(grace, "καλημέρα 👋")
        for browser in (ada, grace):
            wait_for(lambda: messages(browser) == ["good morning", "καλημέρα 👋"], "the answer")

        self.assertEqual(ada.texts(".message .name"), ["Ada (you)", "Grace"])
        self.assertEqual(grace.texts(".message .name"), ["Ada", "Grace (you)"])
        self.assertEqual(ada.texts(".message.own .text"), ["good morning"])
        self.assertEqual(grace.texts(".message.own .text"), ["καλημέρα 👋"])
        self.assertEqual(len(ada.texts(".message time")), 2)
        self.assertEqual(ada.text("#message"), "", "the box is empty again")
        self.assertEqual(ada.console() + grace.console(), [])

    def test_markup_stays_text(self):
        markup = "<img src=x onerror=\"document.title='broken in'\"><script>document.title='broken in'</script>"
        enter(ada, self.server.url, "Ada")
        enter(grace, self.server.url, "<b>Grace</b>")
        say(grace, markup)
        wait_for(lambda: messages(ada) == [markup], "the markup, as text")
        wait_for(lambda: people(ada) == ["Ada", "<b>Grace</b>"], "the name, as text")
        self.assertEqual(ada.run("return document.querySelectorAll('#app img, #app script, #app b').length"), 0)
        self.assertEqual(ada.run("return document.title"), "wsengine chat")

    def test_the_page_cannot_put_markup_into_itself(self):
        ada.open(self.server.url)
        refused = ada.run("try { document.body.innerHTML = '<i>x</i>'; return false } catch { return true }")
        self.assertTrue(refused, "the Content-Security-Policy refuses innerHTML")

    def test_the_list_follows_who_comes_and_goes(self):
        enter(ada, self.server.url, "Ada")
        wait_for(lambda: people(ada) == ["Ada"], "Ada in her own list")
        enter(grace, self.server.url, "Grace")
        wait_for(lambda: people(ada) == ["Ada", "Grace"], "Grace in Ada's list")
        wait_for(lambda: people(grace) == ["Ada", "Grace"], "both in Grace's list")
        self.assertEqual(ada.text("#count"), "2")
        self.assertIn("Grace came in.", ada.text("#log"))

        grace.open("about:blank")
        wait_for(lambda: people(ada) == ["Ada"], "Grace gone from Ada's list")
        self.assertIn("Grace left.", ada.text("#log"))
        wait_for(lambda: self.server.says(r'close  #2 from 127\.0\.0\.1:\d+: 1000 "the page was left"'), "the console")

        grace.back()
        wait_for(lambda: people(ada) == ["Ada", "Grace"], "Grace back by the back button")

    def test_a_closed_window_leaves(self):
        enter(ada, self.server.url, "Ada")
        grace.open_window(self.server.url)
        enter(grace, self.server.url, "Grace")
        wait_for(lambda: people(ada) == ["Ada", "Grace"], "Grace to be seen")
        grace.close_window()
        wait_for(lambda: "Grace left." in ada.text("#log"), "Grace to leave")
        self.assertEqual(people(ada), ["Ada"])
        wait_for(lambda: self.server.says(r"close  #2 from 127\.0\.0\.1:\d+: 1001"), "the console")

    def test_nobody_can_pass_for_another(self):
        enter(ada, self.server.url, "Ada")
        grace.open(self.server.url)
        grace.fill("#handle", " aDa ")
        grace.click("#connect")
        wait_for(lambda: people(ada) == ["Ada", "aDa (2)"], "another name")

    def test_unread_messages_are_counted_in_the_title(self):
        enter(ada, self.server.url, "Ada")
        enter(grace, self.server.url, "Grace")
        ada.run("document.hasFocus = () => false")
        say(grace, "are you there?")
        wait_for(lambda: ada.run("return document.title") == "(1) wsengine chat", "the mark")
        say(grace, "hello?")
        wait_for(lambda: ada.run("return document.title") == "(2) wsengine chat", "the second mark")
        ada.run("window.dispatchEvent(new Event('focus'))")
        self.assertEqual(ada.run("return document.title"), "wsengine chat")

    def test_a_mistake_is_answered_to_the_one_who_made_it(self):
        enter(ada, self.server.url, "Ada")
        grace.open(self.server.url)
        grace.run("""
            window.heard = [];
            window.raw = new WebSocket(arguments[0]);
            raw.onmessage = ({ data }) => heard.push(JSON.parse(data[0] === '\\x01' ? data.slice(data.indexOf('\\n') + 1) || '{}' : data));
            raw.onopen = () => arguments[1].forEach((message) => raw.send(message));
        """, self.server.url.replace("http", "ws"), [
            "this is not JSON",
            json.dumps({"type": "dance"}),
            json.dumps({"type": "say", "text": "before my name"}),
            json.dumps({"type": "join", "name": "\u202e \u200b"}),
            json.dumps({"type": "join", "name": "x" * 25}),
            json.dumps({"type": "join", "name": "Grace"}),
            json.dumps({"type": "say", "text": "y" * 2001}),
            json.dumps({"type": "say", "text": ["an", "array"]}),
            json.dumps({"type": "say", "text": "at last"}),
        ])
        wait_for(lambda: messages(ada) == ["at last"], "the one good message")
        script = "const kinds = heard.map((m) => m.type).filter((type) => type); return kinds.length == 9 && kinds"
        kinds = wait_for(lambda: grace.run(script), "nine answers")
        self.assertEqual(kinds, ["error"] * 5 + ["welcome"] + ["error"] * 2 + ["said"])
        self.assertEqual(ada.texts(".problem"), [])


class WhatWasSaidBefore(unittest.TestCase):
    def setUp(self):
        self.server = Server("chat")
        self.addCleanup(self.server.kill)

    def test_a_reload_shows_the_last_fifty_messages(self):
        enter(ada, self.server.url, "Ada")
        for n in range(52):
            say(ada, f"message {n}")
            wait_for(lambda: messages(ada)[-1:] == [f"message {n}"], "the message")
        last = [f"message {n}" for n in range(2, 52)]
        enter(ada, self.server.url, "Ada")
        self.assertEqual(messages(ada), last)
        enter(grace, self.server.url, "Grace")
        self.assertEqual(messages(grace), last)
        self.assertEqual(grace.run("return document.title"), "wsengine chat", "they are not unread")
        self.assertNotIn("missing", grace.text("#log"))
        lines = grace.texts(".message .text, .note .text")
        self.assertEqual(lines[-1], "You are here as Grace.", "after what was said before")

    def test_who_comes_back_gets_what_was_missed_once(self):
        enter(ada, self.server.url, "Ada")
        enter(grace, self.server.url, "Grace")
        say(grace, "one")
        wait_for(lambda: messages(ada) == ["one"], "the first message")
        ada.click("#disconnect")
        wait_for(lambda: people(grace) == ["Grace"], "Ada to be gone")
        say(grace, "two")
        wait_for(lambda: messages(grace)[-1:] == ["two"], "the message")
        ada.click("#connect")
        wait_for(lambda: messages(ada) == ["one", "two"], "what was missed")
        say(grace, "three")
        wait_for(lambda: messages(ada) == ["one", "two", "three"], "what goes on")
        self.assertNotIn("missing", ada.text("#log"))

    def test_what_cannot_be_known_is_said(self):
        enter(ada, self.server.url, "Ada")
        say(ada, "one")
        wait_for(lambda: messages(ada) == ["one"], "the message")
        self.server.kill()
        wait_for(lambda: "1006" in ada.text("#log"), "the end")
        self.server = Server("chat", self.server.port)
        self.addCleanup(self.server.kill)
        ada.click_if_visible("#retry-now")
        wait_for(lambda: "Something that was said meanwhile is missing" in ada.text("#log"), "the gap")


class TheConnectionEnds(unittest.TestCase):
    def setUp(self):
        self.server = Server("chat")
        self.addCleanup(lambda: self.server.kill())

    def test_disconnect_says_the_code_in_words_and_stays_away(self):
        enter(ada, self.server.url, "Ada")
        ada.click("#disconnect")
        wait_for(lambda: ada.text("#state") == "Closed", "the state in words")
        self.assertIn("1000, normal closure", ada.text("#detail"))
        self.assertFalse(ada.visible("#retry"))
        self.assertEqual(people(ada), [])
        wait_for(lambda: self.server.says(r"close  #1 .*: 1000"), "the console")

    def test_a_stopped_server_says_goodbye(self):
        enter(ada, self.server.url, "Ada")
        self.assertEqual(self.server.terminate(), 0)
        self.assertEqual(self.server.lines[-1], "bye")
        wait_for(lambda: "1001, going away" in ada.text("#log"), "the close code in words")
        wait_for(lambda: ada.text("#state") == "Reconnecting", "the state in words")
        ada.click_if_visible("#disconnect")
        wait_for(lambda: ada.text("#state") == "Closed", "the end of the tries")
        self.assertFalse(ada.visible("#retry"))

    def test_a_killed_server_is_found_again(self):
        enter(ada, self.server.url, "Ada")
        enter(grace, self.server.url, "Grace")
        self.server.kill()
        for browser in (ada, grace):
            wait_for(lambda: "1006, abnormal closure" in browser.text("#log"), "the close code in words")
            wait_for(lambda: browser.visible("#countdown"), "the countdown")
        say_nothing = ada.run("return document.getElementById('send').disabled")
        self.assertTrue(say_nothing)

        self.server = Server("chat", self.server.port)
        ada.click_if_visible("#retry-now")
        for browser in (ada, grace):
            wait_for(lambda: sorted(people(browser)) == ["Ada", "Grace"], "both to be back")
        say(ada, "there you are")
        wait_for(lambda: messages(grace)[-1:] == ["there you are"], "a message after the return")


class ThePage(unittest.TestCase):
    def setUp(self):
        self.server = Server("chat")
        self.addCleanup(self.server.kill)

    def test_a_missing_websocket_is_said(self):
        script = ada.devtools("Page.addScriptToEvaluateOnNewDocument", source="delete window.WebSocket")
        try:
            ada.open(self.server.url)
            wait_for(lambda: ada.visible("#unsupported"), "the message")
            self.assertIn("WebSocket", ada.text("#unsupported"))
            self.assertFalse(ada.visible("#connect"))
        finally:
            ada.devtools("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])
        ada.open(self.server.url)
        self.assertTrue(ada.visible("#connect"))
        self.assertFalse(ada.visible("#unsupported"))

    def test_a_phone_needs_no_sideways_scrolling(self):
        self.addCleanup(ada.as_desktop)
        for width, height in ((390, 844), (320, 568)):
            ada.as_phone(width, height)
            with self.subTest(width=width, state="before"):
                ada.open(self.server.url)
                self.assertEqual(ada.sticks_out(), [])
            with self.subTest(width=width, state="connected"):
                enter(ada, self.server.url, "W" * 24)
                say(ada, "a word without a space " + "w" * 300)
                wait_for(lambda: messages(ada), "the message")
                self.assertEqual(ada.sticks_out(), [])
                self.assertTrue(ada.visible("#disconnect"))
                self.assertFalse(ada.visible("#handle"), "the fields make room")

    def test_the_keyboard_is_enough(self):
        focused = lambda: ada.run("return document.activeElement.id")
        ada.open(self.server.url)
        ada.run("localStorage.clear()")
        ada.open(self.server.url)
        wait_for(lambda: focused() == "handle", "the focus in the first field")
        ada.press(*"Ada", ENTER)
        wait_for(lambda: people(ada) == ["Ada"], "Ada to be in the chat")
        self.assertEqual(focused(), "message")
        ada.press(*"one", (SHIFT, ENTER), *"two", ENTER)
        wait_for(lambda: messages(ada) == ["one\ntwo"], "a message of two lines")
        self.assertEqual(focused(), "message")
        ada.press((SHIFT, TAB))
        self.assertEqual(focused(), "log")
        ada.press((SHIFT, TAB))
        self.assertEqual(focused(), "disconnect")
        outline = ada.run("return getComputedStyle(document.activeElement).outlineStyle")
        self.assertEqual(outline, "solid", "the focus can be seen")
        ada.press(ENTER)
        wait_for(lambda: ada.text("#state") == "Closed", "the end")
        self.assertEqual(focused(), "connect")

    def test_screen_readers_hear_new_messages_and_states(self):
        ada.open(self.server.url)
        roles = ada.run("return ['log', 'state', 'detail'].map((id) => document.getElementById(id).closest('[role]').role)")
        self.assertEqual(roles, ["log", "status", "status"])
        nameless = ada.run("""
            return [...document.querySelectorAll('button, input, textarea')]
                .filter((e) => !e.innerText && !e.labels?.length).map((e) => e.id)
        """)
        self.assertEqual(nameless, [])

    def test_files_that_all_pages_have_are_the_same(self):
        for name in ("base.css", "words.js"):
            files = {(EXAMPLES / example / "public" / name).read_bytes() for example in ("chat", "push", "login", "ticker")}
            self.assertEqual(len(files), 1, name)


if __name__ == "__main__":
    unittest.main()
