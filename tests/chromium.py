"""Chromium for tests of pages: one that prints a page, and one that is driven like a user drives it.

`Browser` speaks the DevTools protocol through a pipe, so it needs no package and opens no port. scripts/browser.sh
installs Chromium.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

__all__ = ["CHROMIUM", "FLAGS", "Browser", "Tab", "needs_chromium"]

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


def _find() -> str | None:
    """Return a browser that starts: Ubuntu's chromium-browser only names the snap that has it."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path and subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0:
            return path
    return None


CHROMIUM = _find()
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here; scripts/browser.sh installs it as root"
)

_KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, ""), " ": (32, " "), "ArrowDown": (40, "")}
_MODIFIERS = {"Alt": 1, "Control": 2, "Meta": 4, "Shift": 8}


class Browser:
    """A running Chromium; `open` opens a page in it."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        read_commands, self._write = os.pipe()
        self._read, write_events = os.pipe()
        # Chromium reads commands from descriptor 3 and writes events to 4.
        script = f'exec "$@" 3<&{read_commands} 4>&{write_events}'
        flags = (*FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank")
        self._process = subprocess.Popen(
            ["bash", "-c", script, "chromium", CHROMIUM, *flags],
            pass_fds=(read_commands, write_events),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_commands)
        os.close(write_events)
        self._buffer = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come meanwhile are in `events`."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 60
        while True:
            answer = self._message(deadline - time.monotonic())
            if answer is None:
                raise TimeoutError(f"{method}: no answer from Chromium")
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])
            self.events.append(answer)

    def _message(self, seconds: float) -> dict[str, Any] | None:
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], max(0, seconds))[0]:
                return None
            piece = os.read(self._read, 1 << 16)
            if not piece:
                raise RuntimeError("Chromium ended")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(line))

    def open(self, address: str, *, language: str = "ko-KR", width: int = 1280, height: int = 900) -> Tab:
        """Open a page in a profile of its own, so that nothing is kept from another one."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session, context)
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.send(f"{domain}.enable")
        agent = self.send("Browser.getVersion")["userAgent"]
        tab.send("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=language)
        tab.send("Emulation.setFocusEmulationEnabled", enabled=True)
        tab.resize(width, height)
        tab.go(address)
        return tab

    def close(self) -> None:
        """End Chromium."""
        try:
            self.send("Browser.close")
        except (OSError, RuntimeError, TimeoutError):
            self._process.kill()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)


class Tab:
    """A page that is open in a `Browser`."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self.browser, self.session, self.context = browser, session, context

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol to this page."""
        return self.browser.send(method, self.session, **parameters)

    def go(self, address: str) -> None:
        """Open an address and wait until it is loaded."""
        self.send("Page.navigate", url=address)
        self.wait("location.href !== 'about:blank' && document.readyState === 'complete'")

    def resize(self, width: int, height: int, *, mobile: bool = False) -> None:
        """Give the page another size, in CSS pixels."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )

    def run(self, script: str) -> Any:
        """Return the value of an expression; a promise is awaited."""
        result = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise AssertionError(result["exceptionDetails"].get("exception", {}).get("description", result))
        return result["result"].get("value")

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.run(f"Boolean({condition})"):
                return
            time.sleep(0.03)
        text = self.run("document.body.innerText")
        raise AssertionError(f"not true within {seconds} s: {condition}\nThe page:\n{text}")

    def texts(self, selector: str) -> list[str]:
        """Return the texts of the visible elements that a selector names."""
        script = (
            "[...document.querySelectorAll(%s)].filter((one) => one.checkVisibility()).map((one) => one.innerText)"
        )
        return list(self.run(script % json.dumps(selector)))

    def click(self, selector: str) -> None:
        """Click with the mouse on the first visible element that a selector names."""
        script = (
            "(() => { const one = [...document.querySelectorAll(%s)].find((one) => one.checkVisibility());"
            "one.scrollIntoView({ block: 'center', behavior: 'instant' });"
            "const box = one.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        x, y = self.run(script % json.dumps(selector))
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a list."""
        script = (
            "(() => { const list = document.querySelector(%s); list.value = %s;"
            "list.dispatchEvent(new Event('change', { bubbles: true })); return list.value; })()"
        )
        assert self.run(script % (json.dumps(selector), json.dumps(value))) == value

    def type(self, text: str) -> None:
        """Type a text into the element that has the focus."""
        self.send("Input.insertText", text=text)

    def press(self, key: str, *modifiers: str, commands: Sequence[str] = ()) -> None:
        """Press a key, such as Tab, with Control and its like held."""
        code, text = _KEYS.get(key, (ord(key.upper()[0]), ""))
        held = sum(_MODIFIERS[one] for one in modifiers)
        common: Mapping[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": held}
        kind = "keyDown" if text and not held else "rawKeyDown"
        down = {**common, "type": kind, "commands": list(commands)} | ({"text": text} if kind == "keyDown" else {})
        self.send("Input.dispatchKeyEvent", **down)
        self.send("Input.dispatchKeyEvent", **common, type="keyUp")

    def paste(self, text: str) -> None:
        """Paste a text into the element that has the focus, by way of the clipboard."""
        self.browser.send(
            "Browser.grantPermissions",
            permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
            browserContextId=self.context,
        )
        self.run(f"navigator.clipboard.writeText({json.dumps(text)})")
        self.press("v", "Control", commands=["paste"])

    def drop(self, files: Sequence[Path], x: int = 300, y: int = 300) -> None:
        """Drop files on the page, as from a file manager."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.send("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def downloads(self, folder: Path) -> None:
        """Save what the page downloads into a folder."""
        self.browser.send(
            "Browser.setDownloadBehavior",
            behavior="allow",
            downloadPath=str(folder),
            browserContextId=self.context,
        )

    def requests(self) -> list[str]:
        """Return the addresses that the page has requested."""
        return [event["params"]["request"]["url"] for event in self._events("Network.requestWillBeSent")]

    def problems(self) -> list[str]:
        """Return the script errors and policy violations of the page."""
        self.run("0")  # what happened before is then known
        thrown = [json.dumps(event["params"]) for event in self._events("Runtime.exceptionThrown")]
        logged = [event["params"]["entry"] for event in self._events("Log.entryAdded")]
        # The browser also logs each answer that is an error, which tests of errors cause on purpose.
        return thrown + [
            entry["text"] for entry in logged if entry["level"] == "error" and entry["source"] != "network"
        ]

    def _events(self, method: str) -> list[dict[str, Any]]:
        return [
            event
            for event in self.browser.events
            if event.get("sessionId") == self.session and event["method"] == method
        ]

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Save what the page looks like, the part below the fold included if `whole`."""
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))
