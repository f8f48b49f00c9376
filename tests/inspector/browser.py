"""A headless Chromium, driven through its DevTools protocol over a socket of the standard library.

    with Browser() as browser:
        page = browser.open(path, width=1280, dark=False)
        page.evaluate("document.title")
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60.0  # seconds for one answer: a start on a busy machine


def installed() -> str | None:
    """The browser's program; None without one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Socket:
    """A client's end of a WebSocket (RFC 6455): whole text messages."""

    def __init__(self, port: int, path: str) -> None:
        self.raw = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        key = base64.b64encode(os.urandom(16)).decode()
        self.raw.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                         f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                         "Sec-WebSocket-Version: 13\r\n\r\n".encode())
        self.stream = self.raw.makefile("rb")
        while self.stream.readline() not in (b"\r\n", b""):
            pass

    def send(self, text: str) -> None:
        data, mask = text.encode(), os.urandom(4)
        size = (bytes([0x80 | len(data)]) if len(data) < 126 else
                b"\xfe" + struct.pack(">H", len(data)) if len(data) < 1 << 16 else
                b"\xff" + struct.pack(">Q", len(data)))
        long_mask = (mask * (len(data) // 4 + 1))[:len(data)]
        self.raw.sendall(b"\x81" + size + mask + bytes(
            a ^ b for a, b in zip(data, long_mask, strict=True)))

    def receive(self) -> str:
        whole = b""
        while True:
            first, second = self.stream.read(2)
            length = second & 0x7F
            if length >= 126:
                form, count = (">H", 2) if length == 126 else (">Q", 8)
                (length,) = struct.unpack(form, self.stream.read(count))
            whole += self.stream.read(length)
            if first & 0x80:
                return whole.decode()

    def close(self) -> None:
        self.stream.close()
        self.raw.close()


class Browser:
    """The process and its pages."""

    def __init__(self) -> None:
        program = installed()
        assert program is not None, "no browser: ask `installed` first"
        self.folder = tempfile.mkdtemp(prefix="dlc-browser-")
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             "--remote-debugging-port=0", f"--user-data-dir={self.folder}",
             "--disable-background-networking", "--no-first-run", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port, path = self._address()
        self.socket = Socket(port, path)
        self.number = 0
        self.events: list[dict[str, Any]] = []

    def _address(self) -> tuple[int, str]:
        """(port, path), which the browser writes to a file once it listens."""
        file = Path(self.folder) / "DevToolsActivePort"
        for _ in range(int(PATIENCE * 20)):
            if file.exists() and len(lines := file.read_text().split()) == 2:
                return int(lines[0]), lines[1]
            assert self.process.poll() is None, "the browser ended at its start"
            time.sleep(0.05)
        raise TimeoutError("the browser does not listen")

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """One command's result; events that come first are kept."""
        self.number += 1
        about = {"sessionId": session} if session else {}
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params,
                                     **about}))
        while True:
            answer: dict[str, Any] = json.loads(self.socket.receive())
            if answer.get("id") == self.number:
                assert "error" not in answer, (method, answer["error"])
                return dict(answer["result"])
            self.events.append(answer)

    def open(self, file: Path, width: int = 1280, height: int = 860, dark: bool = False,
             until: str = "document.body?.dataset.ready === 'yes'") -> Page:
        """A page of `width` pixels, once the expression `until` is true in it."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, str(session))
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)
        page.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        page.call("Page.navigate", url=file.resolve().as_uri())
        page.wait(until)
        return page

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.browser, self.session = browser, session

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **params)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression. Raises AssertionError where it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until the expression is true."""
        for _ in range(int(PATIENCE * 50)):
            if self.evaluate(expression):
                return
            time.sleep(0.02)
        raise TimeoutError(f"{expression}; events: {self.told()}")

    def click(self, selector: str, at: int = 0) -> None:
        """A click on the element number `at` that fits."""
        found = f"document.querySelectorAll({json.dumps(selector)})[{at}]"
        assert self.evaluate(f"!!{found}"), selector
        self.evaluate(f"{found}.dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")

    def key(self, key: str) -> None:
        """A key, pressed and released."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, text=key if len(key) == 1
                      and kind == "keyDown" else "")

    def told(self) -> list[str]:
        """What the page wrote to its console or threw, and what it asked the network for beyond
        the file itself."""
        found = []
        for event in self.browser.events:
            method, params = event.get("method"), event.get("params", {})
            if event.get("sessionId") != self.session:
                continue
            if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                found.append(f"{method}: {json.dumps(params)[:400]}")
            if method == "Network.requestWillBeSent" and params.get("type") != "Document":
                found.append(f"{method}: {params['request']['url'][:200]}")
        return found

    def picture(self, path: Path) -> None:
        """A PNG of what is in sight."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))
