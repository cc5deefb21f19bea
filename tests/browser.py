"""Chromium without a window, driven over a pipe: what a page asks of the network, says on the console, shows under the mouse."""

from __future__ import annotations

import atexit
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)


class PageLeft(Exception):
    """The page was left for another while it was asked something: ask the next one."""


class Chromium:
    """The program, without a window: questions and answers in JSON go through a pipe, those of all pages through one."""

    def __init__(self, program: str) -> None:
        self.profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        to_browser, self.questions = os.pipe()
        self.answers, from_browser = os.pipe()
        moved = [(to_browser, 3), (from_browser, 4)]  # where the browser looks for its pipe
        ends = [os.dup(end) for end, _ in moved]  # safely above 4
        for end, _ in moved:
            os.close(end)
        command = [program, *FLAGS, f"--user-data-dir={self.profile.name}", "about:blank"]
        words = " ".join(
            f"{number}{'<' if number == 3 else '>'}&{end}" for end, (_, number) in zip(ends, moved, strict=True)
        )
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" {words}', "browser", *command], pass_fds=ends, stderr=subprocess.DEVNULL
        )
        for end in ends:
            os.close(end)
        self.buffer, self.number = b"", 0

    def end(self) -> None:
        """Kill it, and remove what it kept."""
        self.process.kill()
        self.process.wait()
        os.close(self.questions)
        os.close(self.answers)
        self.profile.cleanup()


@cache
def _chromium() -> Chromium:
    """One for each process of the tests: it takes a second or two of processor time to start."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs chromium")
    started = Chromium(program)
    atexit.register(started.end)
    return started


class Browser:
    """One page of a browser that knows nothing of other pages; a context manager.

    Attributes
    ----------
    requests : list of str
        Every address that was asked for.
    problems : list of str
        Errors and warnings of the console, exceptions, refusals of the page's own policy.
    patience : float
        Seconds that an answer may take.
    """

    patience: float = 60

    def __init__(self) -> None:
        self._program, self._session = _chromium(), None
        self.requests: list[str] = []
        self.problems: list[str] = []
        self._context = self.ask("Target.createBrowserContext")["browserContextId"]
        page = self.ask("Target.createTarget", url="about:blank", browserContextId=self._context)["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *exception: object) -> None:
        self._session = None
        self.ask("Target.disposeBrowserContext", browserContextId=self._context)

    def ask(self, method: str, **params: object) -> dict:
        """Send one command and wait for its answer, noting what happens meanwhile."""
        self._program.number += 1
        number = self._program.number
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._program.questions, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != number:
            if answer.get("sessionId") == self._session:
                self._note(answer)
        if "navigated or closed" in answer.get("error", {}).get("message", ""):
            raise PageLeft(answer)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def _next(self) -> dict:
        deadline = time.monotonic() + self.patience
        while b"\0" not in self._program.buffer:
            ready, _, _ = select.select([self._program.answers], [], [], max(0, deadline - time.monotonic()))
            part = os.read(self._program.answers, 1 << 16) if ready else b""
            if not part:
                _chromium.cache_clear()  # whoever comes next has another one
            assert part, "the browser went away, or said nothing for too long"
            self._program.buffer += part
        message, _, self._program.buffer = self._program.buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Log.entryAdded":
                self.problems.append(params["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.problems.append(json.dumps(params["args"]))

    def open(self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False, query: str = "") -> None:
        """Show a file and wait until it is there."""
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=path.resolve().as_uri() + query)
        self.wait_for("document.readyState + location.protocol === 'completefile:'")

    def resize(self, width: int, height: int = 900) -> None:
        """Another screen for the page that is shown."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def wait_for(self, condition: str, seconds: float = 60) -> None:
        """Until an expression in the page is true."""
        deadline = time.monotonic() + seconds
        while not self._holds(condition):
            assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
            time.sleep(0.02)

    def _holds(self, condition: str) -> bool:
        try:
            return self.run(condition) is True
        except PageLeft:
            return False

    def run(self, script: str) -> object:
        """The value of an expression in the page."""
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)["result"].get(
            "value"
        )

    def hover(self, selector: str) -> None:
        """Move the mouse over the middle of an element."""
        quoted = json.dumps(selector)
        self.run(f"document.querySelector({quoted}).scrollIntoView({{block: 'center', behavior: 'instant'}})")
        x, y = self.run(
            f"(() => {{ const b = document.querySelector({quoted}).getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        data = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))
