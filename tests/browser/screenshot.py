#!/usr/bin/env python3
"""Takes the picture of the chat for the README: screenshot.py docs/chat.png"""

import sys
from contextlib import ExitStack

from servers import Server
from webdriver import Browser, Driver, wait_for

TALK = [
    ("Grace", "Good morning! The relay in panel F failed again last night."),
    ("Ada", "The same one? What was it this time?"),
    ("Grace", "A moth."),
    ("Grace", "First actual case of bug being found. I have taped it into the log book."),
    ("Ada", "Then the engine is innocent, as I have always said. Shall we run the whole set of tables again?"),
    ("Katherine", "Please do. I have checked the first forty by hand, and they are right."),
]


def main(path):
    with ExitStack() as cleanup:
        server = Server("chat", 8080)
        cleanup.callback(server.kill)
        driver = Driver()
        cleanup.callback(driver.stop)
        browsers = {}
        for name in ("Ada", "Grace", "Katherine"):
            browsers[name] = browser = Browser(driver)
            cleanup.callback(browser.close)
            browser.open(server.url)
            browser.fill("#handle", name)
            browser.click("#connect")
            wait_for(lambda: name in browsers["Ada"].texts("#people .name"), f"{name} to come in")
        ada = browsers["Ada"]
        ada.devtools("Emulation.setDeviceMetricsOverride", width=1200, height=800, deviceScaleFactor=1, mobile=False)
        for said, (name, text) in enumerate(TALK, 1):
            browsers[name].fill("#message", text)
            browsers[name].click("#send")
            wait_for(lambda: len(ada.texts(".message")) == said, text)
        ada.fill("#message", "Forty by hand before breakfast?")
        ada.screenshot(path)


if __name__ == "__main__":
    main(sys.argv[1])
