# SPDX-License-Identifier: MIT
"""The chat page as a person sees it: what stands where, and what can be done."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from wait import until
from webdriver import ENTER

WAIT_S = 15


class ChatPage:
    """One user's page in one browser."""

    def __init__(self, browser, user):
        self.browser = browser
        self.user = user

    def enter(self, url, room="general"):
        """By the entry form, or, when this tab was in before, without it."""
        self.begin(url, room)
        self.wait_connected()

    def begin(self, url, room="general"):
        """As enter(), without waiting for the connection."""
        self.browser.open(url)
        self.wait(lambda: self.visible("#entry-form") or self.visible("#chat"), "the page is shown")
        if self.visible("#chat"):
            return
        for field, value in (("#entry-name", self.user), ("#entry-room", room)):
            self.browser.clear(field)
            self.browser.type(field, value)
        self.browser.click("#entry-form button")

    def wait(self, condition, what, timeout_s=WAIT_S):
        return until(condition, timeout_s, lambda: f"{self.user}: {what}; the page shows:\n"
                     + self.browser.run("return document.body.innerText"), every_s=0.05)

    def text(self, selector):
        return self.browser.run(
            "return document.querySelector(arguments[0])?.textContent ?? null", selector)

    def texts(self, selector):
        return self.browser.run("return [...document.querySelectorAll(arguments[0])]"
                                ".map((node) => node.textContent)", selector)

    def count(self, selector):
        return self.browser.run("return document.querySelectorAll(arguments[0]).length", selector)

    def visible(self, selector):
        return self.browser.run(
            "const node = document.querySelector(arguments[0]);"
            "return Boolean(node) && node.getClientRects().length > 0", selector)

    @property
    def pill(self):
        return self.text("#pill")

    @property
    def gateway(self):
        """The gateway's name, the last part of `Connected · 12 ms · gw-2`; None while away."""
        parts = self.pill.split(" · ")
        return parts[-1] if parts[0] == "Connected" and len(parts) == 3 else None

    @property
    def place(self):
        """Gateway and connection, which each gateway counts for itself; None while away. With the
        details open only."""
        gateway = self.gateway
        return gateway and (gateway, self.text("#facts dd:nth-of-type(3)"))

    @property
    def online(self):
        words = (self.text("#room-online") or "").split()
        return int(words[0]) if words else None

    @property
    def people(self):
        return self.texts("#people .name")

    @property
    def messages(self):
        """The texts of all messages, oldest first."""
        return self.texts("#log .msg p")

    @property
    def states(self):
        """What stands beside our own messages: {text: state}."""
        return dict(self.browser.run(
            "return [...document.querySelectorAll('#log .msg.own')].map((node) =>"
            "  [node.querySelector('p').textContent, node.querySelector('.st').textContent])"))

    def wait_connected(self):
        return self.wait(lambda: self.gateway, "is connected", 45)

    def say(self, text):
        self.browser.type("#compose", text + ENTER)

    def wait_message(self, text):
        self.wait(lambda: text in self.messages, f"sees {text!r}")

    def wait_delivered(self, text):
        self.wait(lambda: self.states.get(text) == "delivered", f"{text!r} is delivered", 45)

    def open_details(self):
        if not self.visible("#details"):
            self.browser.click("#show-details")

    def close_details(self):
        if self.visible("#details"):
            self.browser.click("#hide-details")

    def drop_connection(self):
        """Cuts the link and waits until the page is back."""
        self.open_details()
        before = self.place
        self.browser.click("#drop")
        self.wait(lambda: self.place not in (None, before), "is back on a new connection", 30)
        self.close_details()

    def record_pill(self, say_when_lost=None):
        """Writes down every text of the pill from now on; the first time it says "Reconnecting" the
        page may say something, which is then surely written while there is no connection."""
        self.browser.run("""
            const words = document.getElementById('pill-text');
            const [message] = arguments;
            let said = message === null;
            window.pillTexts = [];
            window.pillObserver?.disconnect();
            window.pillObserver = new MutationObserver(() => {
              window.pillTexts.push(words.textContent);
              if (!said && words.textContent.startsWith('Reconnecting')) {
                said = true;
                document.getElementById('compose').value = message;
                document.getElementById('send-form').requestSubmit();
              }
            });
            window.pillObserver.observe(words,
              { childList: true, characterData: true, subtree: true });
            """, say_when_lost)

    def record_banner(self):
        """Writes down every title that the banner shows from now on."""
        self.browser.run("""
            const banner = document.getElementById('banner');
            window.bannerTexts = [];
            window.bannerObserver?.disconnect();
            window.bannerObserver = new MutationObserver(() => {
              if (!banner.hidden) {
                window.bannerTexts.push(document.getElementById('banner-title').textContent);
              }
            });
            window.bannerObserver.observe(banner,
              { attributes: true, childList: true, characterData: true, subtree: true });
            """)

    @property
    def banner_texts(self):
        return self.browser.run("return window.bannerTexts")

    def sleep(self, seconds):
        """The page's clock jumps ahead, as after the lid was closed for so long; returns how to put
        it back. Timers are late then, and nothing was heard for as long."""
        self.browser.run("const real = window.realNow ??= Date.now;"
                         "const [ms] = arguments; Date.now = () => real() + ms", seconds * 1000)
        return lambda: self.browser.run("Date.now = window.realNow")

    @property
    def pill_texts(self):
        return self.browser.run("return window.pillTexts")
