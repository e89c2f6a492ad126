"""A browser to drive: what these tests need of W3C WebDriver, over chromedriver's HTTP interface.

One chromedriver serves all browsers of a test; each browser is a Chromium of its own with a fresh profile.
"""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

CHROMEDRIVER = os.environ.get("CHROMEDRIVER", "/usr/bin/chromedriver")
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's id, fixed by the standard

ENTER, TAB, SHIFT = "\ue007", "\ue004", "\ue008"


class WebDriverError(Exception):
    pass


def wait_for(condition, what, seconds=10.0):
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s for {what}, the last answer was {answer!r}")
        time.sleep(0.02)


class Driver:
    """A running chromedriver on a port it chose."""

    def __init__(self):
        # It takes a port that is free on ::1, and ends when that is taken on 127.0.0.1, if only by a connection that was.
        for _ in range(20):
            self.process = subprocess.Popen(
                [CHROMEDRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            said = ""
            for line in self.process.stdout:
                if started := re.search(r"started successfully on port (\d+)", line):
                    self.url = f"http://127.0.0.1:{started[1]}"
                    return
                said += line
            self.stop()
            if "port not available" not in said:
                break
        raise WebDriverError(f"chromedriver did not start: {said}")

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise WebDriverError(f"{value['error']}: {value['message'].splitlines()[0]}") from None

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


class Browser:
    """One Chromium window."""

    def __init__(self, driver, size=(1200, 800), flags=()):
        self.driver = driver
        self.profile = tempfile.mkdtemp(prefix="wsengine-browser-")
        flags = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
            f"--user-data-dir={self.profile}", f"--window-size={size[0]},{size[1]}", *flags,
        ]
        options = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": CHROMIUM, "args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        try:
            session = driver.call("POST", "/session", {"capabilities": {"alwaysMatch": options}})
        except Exception:
            shutil.rmtree(self.profile, ignore_errors=True)
            raise
        self.path = f"/session/{session['sessionId']}"

    def call(self, method, path, body=None):
        return self.driver.call(method, self.path + path, body)

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def back(self):
        self.call("POST", "/back", {})

    def open_window(self, url):
        """A second window of the same browser, the one all calls go to until close_window()."""
        self.first_window = self.call("GET", "/window")
        self.call("POST", "/window", {"handle": self.call("POST", "/window/new", {"type": "window"})["handle"]})
        self.open(url)

    def close_window(self):
        self.call("DELETE", "/window")
        self.call("POST", "/window", {"handle": self.first_window})

    def find(self, css):
        return self.call("POST", "/element", {"using": "css selector", "value": css})[ELEMENT]

    def click(self, css):
        self.call("POST", f"/element/{self.find(css)}/click", {})

    def click_if_visible(self, css):
        """Looks and clicks in one step, for what the page itself may hide between two."""
        self.run("""
            const element = document.querySelector(arguments[0]);
            if (element?.checkVisibility({visibilityProperty: true})) element.click();
        """, css)

    def fill(self, css, text):
        """Replaces what is in a field."""
        element = self.find(css)
        self.call("POST", f"/element/{element}/clear", {})
        self.call("POST", f"/element/{element}/value", {"text": text})

    def press(self, *keys):
        """Types into whatever has the focus, key by key; a tuple is a chord."""
        actions = []
        for key in keys:
            chord = key if isinstance(key, tuple) else (key,)
            actions += [{"type": "keyDown", "value": k} for k in chord]
            actions += [{"type": "keyUp", "value": k} for k in reversed(chord)]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, css):
        """What a reader sees there, or "" where there is nothing."""
        return self.run("return document.querySelector(arguments[0])?.innerText ?? ''", css)

    def texts(self, css):
        return self.run("return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)", css)

    def visible(self, css):
        return self.run("return document.querySelector(arguments[0])?.checkVisibility({visibilityProperty: true}) ?? false", css)

    def as_phone(self, width, height):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=True)

    def as_desktop(self):
        self.devtools("Emulation.clearDeviceMetricsOverride")

    def sticks_out(self):
        """What a reader would have to scroll the page for: the page itself, or what lies beyond its sides."""
        return self.run("""
            const page = document.documentElement;
            const scrolls = page.scrollWidth > innerWidth || page.scrollHeight > innerHeight;
            const parts = [...document.querySelectorAll('h1, button, input, textarea, .state, .text')];
            const beyond = parts.filter((part) => {
                const { left, right } = part.getBoundingClientRect();
                return part.checkVisibility() && (left < 0 || right > innerWidth);
            });
            return [...(scrolls ? ['page'] : []), ...beyond.map((part) => part.id || part.className)];
        """)

    def devtools(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def console(self):
        """What the page logged since the last call: errors, refused content, failed requests."""
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("GET", "/screenshot")))

    def close(self):
        self.call("DELETE", "")
        # Chromium's own child processes may still be writing there for a moment.
        wait_for(self._profile_gone, f"{self.profile} to be removed")

    def _profile_gone(self):
        shutil.rmtree(self.profile, ignore_errors=True)
        return not os.path.exists(self.profile)
