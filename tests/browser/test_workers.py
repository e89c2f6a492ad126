"""Several processes of one script on one port, with Redis between them: what one is told all show."""

import os
import re
import signal
import subprocess
import threading
import unittest

from servers import EXAMPLES, EXTENSION, free_port
from webdriver import Browser, Driver, wait_for

WORKERS = 3


class Workers:
    """`make workers`, less the building."""

    def __init__(self):
        # A port that was free a moment ago may be the one end of a connection by now.
        for _ in range(5):
            self.start(free_port())
            try:
                joined = wait_for(lambda: self.count("joined") == WORKERS or -self.count("in use"), "all workers to find Redis")
            except AssertionError as error:
                self.end()
                raise AssertionError(f"{error}\n{''.join(self.lines)}") from error
            if joined is True:
                return
            self.end()
        raise AssertionError("no port is free")

    def start(self, port):
        self.port = port
        self.process = subprocess.Popen(
            [str(EXAMPLES / "workers/run.sh"), EXTENSION, str(WORKERS), "127.0.0.1", str(self.port)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()

    def count(self, pattern):
        return sum(bool(re.search(pattern, line)) for line in self.lines)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(15)
        self.reader.join(5)
        self.process.stdout.close()


class TheWall(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.driver = Driver()
        cls.addClassCleanup(cls.driver.stop)
        cls.workers = Workers()
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
