"""A real browser without a window, driven over Chromium's DevTools protocol."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import websocket

CHROMIUM = shutil.which("chromium")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--hide-scrollbars")
SIZE = "--window-size=1280,1600"
PATIENCE = 60.0  # seconds that a page may take to become what is waited for


class Browser:
    """One browser with a profile of its own; a context manager. Pages are opened in it."""

    def __init__(self, profile: Path):
        self.profile = profile

    def __enter__(self):
        words = [CHROMIUM, *FLAGS, SIZE, f"--user-data-dir={self.profile}", "about:blank"]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ready = self.profile / "DevToolsActivePort"
        until = time.monotonic() + PATIENCE
        while not (ready.is_file() and ready.read_text().count("\n")):
            assert self.process.poll() is None and time.monotonic() < until, "the browser did not start"
            time.sleep(0.1)
        self.port = ready.read_text().split("\n")[0]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def open(self, address):
        """A new tab at an address."""
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(asked) as answer:
            tab = Tab(json.load(answer)["webSocketDebuggerUrl"])
        tab.ask("Page.navigate", url=address)
        return tab


class Tab:
    """A page: what it holds, what it asked the network for, and hands to use it."""

    def __init__(self, address):
        self.socket = websocket.create_connection(address, suppress_origin=True, timeout=PATIENCE)
        self.count, self.requested, self.errors = 0, [], []
        for domain in ("Page", "Network", "Runtime"):
            self.ask(f"{domain}.enable")

    def ask(self, method, **given):
        """A command's result; what happened on the page meanwhile is noted."""
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": given}))
        while (answer := json.loads(self.socket.recv())).get("id") != self.count:
            if answer["method"] == "Network.requestWillBeSent":
                self.requested.append(answer["params"]["request"]["url"])
            if answer["method"] == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(answer["params"]["exceptionDetails"])[:500])
        assert "error" not in answer, answer
        return answer["result"]

    def value(self, code):
        """What an expression of JavaScript is on the page."""
        found = self.ask("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, code, patience=PATIENCE):
        """The expression's value, once it is true."""
        until = time.monotonic() + patience
        while not (found := self.value(code)):
            assert time.monotonic() < until, f"{code} is not so:\n{self.value('document.body.innerText')}"
            time.sleep(0.2)
        return found

    def middle(self, selector):
        """Where an element's middle is, and its size, once it is there and in view: x, y, width, height."""
        self.wait(f"!!document.querySelector({json.dumps(selector)})?.getBoundingClientRect().width")
        self.value(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        return self.value(f"(b => [b.x + b.width / 2, b.y + b.height / 2, b.width, b.height])({box})")

    def drag(self, points):
        """Press the mouse at the first point, move it over the others, release it at the last."""
        mouse = lambda kind, at, **more: self.ask(
            "Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", **more
        )
        mouse("mouseMoved", points[0])
        mouse("mousePressed", points[0], clickCount=1, buttons=1)
        for point in points[1:]:
            mouse("mouseMoved", point, buttons=1)
        mouse("mouseReleased", points[-1], clickCount=1)

    def click(self, selector):
        self.drag([self.middle(selector)[:2]])

    def type(self, selector, text):
        self.click(selector)
        self.ask("Input.insertText", text=text)

    def drop(self, selector, *files):
        """Drop files onto an element, as from a folder's window."""
        x, y, *_ = self.middle(selector)
        held = {"items": [], "files": [str(f) for f in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.ask("Input.dispatchDragEvent", type=kind, x=x, y=y, data=held)

    def picture(self, path):
        """A screenshot of the whole page, and its bytes."""
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(shot))
