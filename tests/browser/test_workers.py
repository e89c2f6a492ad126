"""Several processes of one script on one port, with Redis between them: what one is told all show."""

import os
import re
import signal
import subprocess
import unittest

from servers import EXAMPLES, EXTENSION, Script
from webdriver import Browser, Driver, wait_for

WORKERS = 3


class TheWall(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.driver = Driver()
        cls.addClassCleanup(cls.driver.stop)
        script = EXAMPLES / "workers/run.sh"
        cls.workers = Script(script, EXTENSION, WORKERS, "127.0.0.1", "PORT", ready="joined", count=WORKERS)
        cls.addClassCleanup(cls.workers.end)

    def window(self):
        """A window, and the worker it is connected to."""
        browser = Browser(self.driver)
        self.addCleanup(browser.close)
        browser.open(f"http://127.0.0.1:{self.workers.port}/")
        return browser, self.worker(browser)

    @staticmethod
    def worker(browser):
        script = "return document.getElementById('state').textContent"
        connected = wait_for(lambda: re.fullmatch(r"Connected to worker (\d+)", browser.run(script)), "the page to connect")
        return connected[1]

    @staticmethod
    def write(browser, text):
        browser.run("input.value = arguments[0]; form.requestSubmit()", text)

    @staticmethod
    def wall(browser):
        return browser.run("return [...document.querySelectorAll('li')].map(line => line.textContent)")

    def test_all_windows_show_what_is_written_at_any_worker(self):
        windows = [self.window()]
        while len({worker for _, worker in windows}) < 2:
            windows.append(self.window())
            self.assertLess(len(windows), 20, "one worker gets all")
        # A worker is told what others publish a moment after its first page has connected.
        last, _ = windows[-1]
        wait_for(lambda: self.write(windows[0][0], "anybody?") or "anybody?" in "".join(self.wall(last)), "the last worker")
        for number, (browser, worker) in enumerate(windows):
            self.write(browser, f"hello {number}")
            for other, _ in windows:
                line = f"hello {number} (by worker {worker})"
                wait_for(lambda: line in self.wall(other), f"{line!r} to be on the wall")

    def test_a_worker_that_dies_is_started_again_and_its_pages_come_back(self):
        browser, worker = self.window()
        before = self.workers.count(rf"worker {worker} is listening")
        pids = subprocess.run(["pgrep", "-g", str(self.workers.process.pid), "-f", "server.php"], capture_output=True, text=True)
        of = {}
        for pid in pids.stdout.split():
            with open(f"/proc/{pid}/environ", "rb") as environ:
                number = re.search(rb"(?:^|\0)WORKER=(\d+)", environ.read())
                if number:
                    of[number[1].decode()] = int(pid)
        browser.run("window.before = socket")
        os.kill(of[worker], signal.SIGKILL)
        wait_for(lambda: self.workers.count(rf"worker {worker} has ended with signal 9"), "the supervisor to notice")
        again = "return socket !== before && socket.readyState === WebSocket.OPEN"
        wait_for(lambda: browser.run(again), "the page to come back")
        self.write(browser, "still here")
        wait_for(lambda: any("still here" in line for line in self.wall(browser)), "the wall to go on")
        wait_for(lambda: self.workers.count(rf"worker {worker} is listening") > before, "it to be started again")


if __name__ == "__main__":
    unittest.main()
