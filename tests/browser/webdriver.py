# SPDX-License-Identifier: MIT
"""The few calls of the W3C WebDriver protocol that these tests need, over plain HTTP.

    with ChromeDriver() as driver:
        with driver.browser() as browser:
            browser.open("http://127.0.0.1:8080/")
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from ports import lease_port
from wait import until

ENTER, ESCAPE, SHIFT = "\ue007", "\ue00c", "\ue008"
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_CALL_TIMEOUT_S = 30
_STOP_TIMEOUT_S = 10

_FLAGS = ["--headless=new", "--disable-gpu", "--disable-quic", "--no-first-run",
          "--disable-background-networking", "--disable-component-update", "--disable-sync",
          "--disable-dev-shm-usage", "--window-size=1180,760"]


class WebDriverError(AssertionError):
    """The driver refused a command; .kind is its error code."""

    def __init__(self, kind, message):
        super().__init__(f"{kind}: {message}")
        self.kind = kind


def _http(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=_CALL_TIMEOUT_S) as response:
            return json.load(response)["value"]
    except urllib.error.HTTPError as error:
        value = json.loads(error.read()).get("value", {})
        raise WebDriverError(value.get("error", "?"), value.get("message", "")) from None


class ChromeDriver:
    """One chromedriver process; every browser it starts has a profile folder of its own."""

    def __init__(self):
        self._lease = lease_port()
        self._folder = tempfile.mkdtemp(prefix="parley-browser-")
        self._url = f"http://127.0.0.1:{self._lease.port}"
        self._count = 0
        self._log = open(os.path.join(self._folder, "chromedriver.log"), "w", encoding="utf-8")
        # A home of its own: Chromium keeps crash reports and caches outside of its profile, too.
        env = {**os.environ, "HOME": self._folder, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        self._process = subprocess.Popen(
            ["chromedriver", f"--port={self._lease.port}"], env=env,
            stdout=self._log, stderr=subprocess.STDOUT)

    def __enter__(self):
        until(self._ready, 20, "chromedriver answers")
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self._lease.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ready(self):
        assert self._process.poll() is None, "chromedriver ended; is chromium-driver installed?"
        try:
            return _http("GET", f"{self._url}/status")["ready"]
        except OSError:
            return False

    def browser(self):
        self._count += 1
        flags = [*_FLAGS, f"--user-data-dir={self._folder}/profile-{self._count}"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # Chromium refuses to sandbox for root.
        capabilities = {"browserName": "chrome", "goog:chromeOptions": {"args": flags},
                        "goog:loggingPrefs": {"browser": "ALL"}}
        session = _http("POST", f"{self._url}/session",
                        {"capabilities": {"alwaysMatch": capabilities}})
        return Browser(f"{self._url}/session/{session['sessionId']}")


class Browser:
    """One browser with one window."""

    def __init__(self, url):
        self._url = url

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._call("DELETE", "")

    def _call(self, method, path, body=None):
        if method == "POST" and body is None:
            body = {}
        return _http(method, self._url + path, body)

    def open(self, url):
        self._call("POST", "/url", {"url": url})

    def refresh(self):
        self._call("POST", "/refresh")

    def run(self, script, *arguments):
        """Runs the body of a function in the page, and returns what it returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def devtools(self, command, **parameters):
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _find(self, selector):
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        return found[_ELEMENT]

    def click(self, selector):
        self._call("POST", f"/element/{self._find(selector)}/click")

    def clear(self, selector):
        self._call("POST", f"/element/{self._find(selector)}/clear")

    def type(self, selector, text):
        """Types as a keyboard does; ENTER and its like are keys."""
        self._call("POST", f"/element/{self._find(selector)}/value", {"text": text})

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self._call("GET", "/screenshot")))

    def console(self):
        """What the page and the browser complained about since the last call."""
        return self._call("POST", "/se/log", {"type": "browser"})
