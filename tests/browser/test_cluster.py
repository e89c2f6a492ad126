"""The chat on two nodes behind HAProxy with a Redis, as `make cluster` runs it."""

import os
import re
import signal
import subprocess
import unittest

from servers import EXAMPLES, EXTENSION, Script
from test_chat import enter, messages, people, say
from webdriver import Browser, Driver, wait_for


class TwoNodes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.driver = Driver()
        cls.addClassCleanup(cls.driver.stop)

    def setUp(self):
        script = EXAMPLES / "cluster/run.sh"
        self.cluster = Script(script, EXTENSION, "127.0.0.1", "PORT", ready="^Open  .*its nodes")
        self.addCleanup(self.cluster.end)
        line = next(line for line in self.cluster.lines if "its nodes" in line)
        self.ports = [int(port) for port in re.findall(r":(\d+)", line)]

    def window(self, place, name):
        """A window of the page behind HAProxy (0) or of a node (1 or 2), where somebody is in."""
        browser = Browser(self.driver)
        self.addCleanup(browser.close)
        enter(browser, f"http://127.0.0.1:{self.ports[place]}/", name)
        return browser

    def pid(self, node):
        """The process that has the node's port."""
        listening = subprocess.run(["ss", "-Hltnp", f"sport = :{self.ports[node]}"], capture_output=True, text=True).stdout
        return int(re.search(r"pid=(\d+)", listening)[1])

    def test_both_nodes_are_one_chat(self):
        ada, grace = self.window(1, "Ada"), self.window(2, "Grace")
        for browser in (ada, grace):
            wait_for(lambda: sorted(people(browser)) == ["Ada", "Grace"], "both to see both")
        wait_for(lambda: "Grace came in." in ada.text("#log"), "the note")
        say(ada, "hello from one")
        say(grace, "hello from two")
        for browser in (ada, grace):
            wait_for(lambda: sorted(messages(browser)) == ["hello from one", "hello from two"], "both messages")
        self.assertEqual(messages(ada), messages(grace), "in one order")
        said = messages(ada)

        katherine = self.window(0, "Katherine")
        wait_for(lambda: messages(katherine) == said, "what was said before")
        for browser in (ada, grace, katherine):
            wait_for(lambda: sorted(people(browser)) == ["Ada", "Grace", "Katherine"], "all to see all")

        another = self.window(2, "Somebody")
        for browser in (ada, grace, katherine):
            wait_for(lambda: "Somebody" in people(browser), "all to see a fourth")
        another.click("#disconnect")
        for browser in (ada, grace, katherine):
            wait_for(lambda: "Somebody left." in browser.text("#log"), "all to hear of it")

    def test_nobody_can_pass_for_another_on_the_other_node(self):
        ada = self.window(1, "Ada")
        other = Browser(self.driver)
        self.addCleanup(other.close)
        other.open(f"http://127.0.0.1:{self.ports[2]}/")
        other.fill("#handle", "Ada")
        other.click("#connect")
        wait_for(lambda: sorted(people(other)) == ["Ada", "Ada (2)"], "another name")
        wait_for(lambda: sorted(people(ada)) == ["Ada", "Ada (2)"], "another name")

    def test_who_was_on_a_node_that_dies_goes_on_at_the_other(self):
        windows = {}
        for place, name in ((1, "Ada"), (2, "Grace"), (0, "Katherine")):
            windows[name] = self.window(place, name)
        grace, katherine = windows["Grace"], windows["Katherine"]
        say(katherine, "before")
        wait_for(lambda: messages(grace)[-1:] == ["before"], "the message")
        # Katherine's is one of them; Grace's goes on.
        os.kill(self.pid(1), signal.SIGKILL)
        wait_for(lambda: "1006" in windows["Ada"].text("#log"), "Ada's page to notice")
        say(grace, "still here")
        wait_for(lambda: messages(grace)[-1:] == ["still here"], "Grace to go on")
        katherine.click_if_visible("#retry-now")
        wait_for(lambda: messages(katherine) == ["before", "still here"], "Katherine to be back, and to have missed nothing")
        self.assertNotIn("missing", katherine.text("#log"))


if __name__ == "__main__":
    unittest.main()
