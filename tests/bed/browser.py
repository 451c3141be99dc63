"""The distribution's Chromium, driven by Playwright: no browser is downloaded, and nothing but loopback is reached."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from tests.bed import packages
from tests.bed.places import folder

WAIT_MS = 30_000
POLL_MS = 50
ARGUMENTS = [
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-gpu",
]
"""Every name but our own address is unknown to it, whatever it would like to fetch for itself."""
SURROUNDINGS = "ERR_NETWORK_CHANGED"
"""A container came or went on this machine; the page gets over it by itself, which is no complaint about it."""
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window. One thread, and no other asyncio loop in it while this is open."""
    program = packages.ensure("chromium", "chromium")
    arguments = ARGUMENTS + (["--no-sandbox"] if os.geteuid() == 0 else [])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """One page, with everything it complained about and everything it asked for."""

    def __init__(self, browser: Browser, address: str, **options: Any) -> None:
        self.address = address
        self.context: BrowserContext = browser.new_context(**({"viewport": {"width": 1440, "height": 900}} | options))
        self.context.set_default_timeout(WAIT_MS)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda said: self._note(said.type, said.text))
        self.page.on("pageerror", lambda error: self._note("error", str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and SURROUNDINGS not in text:
            self.complaints.append(f"{kind}: {text}")

    @property
    def strangers(self) -> list[str]:
        """What was asked of anybody but the agent."""
        own = urlsplit(self.address).netloc
        return [url for url in self.asked if urlsplit(url).netloc != own]

    def wait(self, script: str, what: str) -> None:
        """Until a JavaScript expression holds; TimeoutError names `what`."""
        ends = time.monotonic() + WAIT_MS / 1000
        while not self._holds(script):
            if time.monotonic() > ends:
                said = f"the page says {self.text('body')[:600]!r} and complains {self.complaints}"
                raise TimeoutError(f"{what}; {said}; it asked for {self.asked}")
            self.page.wait_for_timeout(POLL_MS)

    def _holds(self, script: str) -> bool:
        """The driver's own wait is a script that the page's policy forbids; a page that loads again has no answer."""
        try:
            return bool(self.page.evaluate(script))
        except Error as error:
            if "context was destroyed" in str(error) or "null" in str(error):
                return False
            raise

    def text(self, selector: str) -> str:
        """The visible text of the first that fits."""
        return self.page.locator(selector).first.inner_text()

    def picture(self, name: str, *, whole: bool = True) -> Path:
        """A screenshot, kept under .bed/screenshots."""
        file = folder("screenshots") / f"{name}.png"
        file.write_bytes(self.page.screenshot(full_page=whole))
        return file

    def close(self) -> None:
        """Close it and all it holds."""
        self.context.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
