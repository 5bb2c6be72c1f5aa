"""A served application, and a Chromium that reports what it requests and complains about."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from starlette.types import ASGIApp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMEDRIVER = shutil.which("chromedriver")

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--no-proxy-server",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Nothing leaves this machine, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
_SECONDS = 40


@contextmanager
def serve(app: ASGIApp) -> Iterator[int]:
    """Serve an application on 127.0.0.1; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


class Browser:
    """A person at the browser: reads, fills in and clicks what the page shows.

    Args:
        driver: What moves the browser.
    """

    def __init__(self, driver: Chrome) -> None:
        self._driver = driver

    def open(self, url: str) -> None:
        """Visit an address."""
        self._driver.get(url)

    @property
    def text(self) -> str:
        """What can be read on the page."""
        return str(self._driver.execute_script("return document.body?.innerText ?? ''"))

    @property
    def buttons(self) -> list[str]:
        """The buttons of the page's forms, in order."""
        return [button.text for button in self._driver.find_elements(By.TAG_NAME, "button")]

    @property
    def links(self) -> list[str]:
        """The addresses that the page links to, in order, without repeats."""
        found = self._driver.execute_script("return [...document.links].map(a => a.href)")
        return list(dict.fromkeys(found))

    def click(self, url: str) -> None:
        """Click the first link to an address, and wait for its page."""
        before = self._begun()
        script = "[...document.links].find(a => a.href === arguments[0]).click()"
        self._driver.execute_script(script, url)
        self._wait().until(lambda _: self._begun() != before)

    def status(self, url: str) -> int:
        """Return the status with which the page's own site answers."""
        script = "fetch(arguments[0]).then(a => arguments[1](a.status))"
        return int(self._driver.execute_async_script(script, url))

    def fill(self, button: str, **fields: str) -> None:
        """Write into fields of the form that a button belongs to."""
        form = self._driver.find_element(By.XPATH, f"//form[.//button[.='{button}']]")
        for name, value in fields.items():
            field = form.find_element(By.NAME, name)
            field.clear()
            field.send_keys(value)

    def press(self, button: str) -> None:
        """Click a button and wait for the page that follows."""
        self._leave(f"//button[.='{button}']")

    def follow(self, link: str) -> None:
        """Click the first link whose text has these words, and wait for its page."""
        self._leave(f"//a[contains(., '{link}')]")

    def follow_within(self, words: str) -> None:
        """Click what opens more of the same page."""
        self._driver.find_element(By.XPATH, f"//summary[contains(., '{words}')]").click()

    def focus(self, url: str) -> None:
        """Move the focus to the first link to an address."""
        script = "[...document.links].find(a => a.href === arguments[0]).focus()"
        self._driver.execute_script(script, url)

    @property
    def focused(self) -> str:
        """The address of the link that has the focus; empty where none has."""
        return str(self._driver.execute_script("return document.activeElement?.href ?? ''"))

    def value(self, button: str, field: str) -> str:
        """Return what stands in a field of the form that a button belongs to."""
        form = self._driver.find_element(By.XPATH, f"//form[.//button[.='{button}']]")
        return str(form.find_element(By.NAME, field).get_property("value"))

    def wait_until_drawn(self, charts: int) -> None:
        """Wait until so many charts are drawn on canvases."""
        script = "return document.querySelectorAll('figure .uplot canvas').length"
        self._wait().until(lambda _: self._driver.execute_script(script) == charts)

    def wait_for(self, words: str) -> None:
        """Wait until the page shows these words, on whichever page they come."""
        self._wait().until(lambda _: words in self.text)

    def enter_frame(self) -> None:
        """Read and click in the page's first frame, until another page is opened."""
        self._driver.switch_to.frame(0)

    def look(self, width: int, mode: str) -> None:
        """Look through a window of a width, in ``light`` or ``dark``."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = [{"name": "prefers-color-scheme", "value": mode}]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})

    def resize(self) -> tuple[float, float]:
        """Scroll to the end and let the page fit its tables; return where it stood and stands."""
        before, after = self._driver.execute_script(
            "scrollTo(0, document.documentElement.scrollHeight); const before = scrollY;"
            "dispatchEvent(new Event('resize')); return [before, scrollY]"
        )
        return float(before), float(after)

    def violations(self, axe: str, *rules: str) -> list[str]:
        """Return what axe-core finds on the page: rules and the elements that break them.

        Args:
            axe: The script of axe-core.
            rules: The rules to check; all where none is named.
        """
        if not self._driver.execute_script("return Boolean(window.axe)"):
            self._driver.execute_script(axe)
        found = self._driver.execute_async_script(
            "const [rules, done] = arguments; const some = rules.length ? {runOnly: rules} : {};"
            "axe.run(some).then(result => done(result.violations.map("
            "one => `${one.id}: ${one.nodes.map(node => node.target.join(' ')).join(' | ')}`)))",
            list(rules),
        )
        return list(found)

    def wide(self) -> list[str]:
        """Return the names of regions, or the page, whose content is wider than they are."""
        found = self._driver.execute_script(
            "const over = (item) => item.scrollWidth > item.clientWidth + 1;"
            "const wide = [...document.querySelectorAll('.scroll')].filter(over);"
            "return [...wide.map((item) => item.ariaLabel),"
            " ...(over(document.documentElement) ? ['the page'] : [])]"
        )
        return list(found)

    def complaints(self) -> list[str]:
        """Return what the console has said since the last call."""
        return [entry["message"] for entry in self._log("browser")]

    def hosts(self) -> set[str]:
        """Return the hosts that pages have asked for anything since the last call."""
        sent = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        urls = [
            urlsplit(message["params"]["request"]["url"])
            for message in sent
            if message["method"] == "Network.requestWillBeSent"
        ]
        return {url.hostname or "" for url in urls if url.scheme != "data"}

    def _log(self, kind: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self._driver.get_log(kind)  # type: ignore[no-untyped-call]
        return found

    def _leave(self, xpath: str) -> None:
        before = self._begun()
        self._driver.find_element(By.XPATH, xpath).click()
        self._wait().until(lambda _: self._begun() != before)

    def _begun(self) -> float:
        """Return when the document began to load: no two have the same moment."""
        return float(self._driver.execute_script("return performance.timeOrigin"))

    def _wait(self) -> WebDriverWait[Chrome]:
        # A look at a document that is just being replaced may fail.
        ignored = (WebDriverException,)
        return WebDriverWait(self._driver, _SECONDS, 0.05, ignored)


@contextmanager
def browse(profile: Path) -> Iterator[Browser]:
    """Start Chromium with a profile of its own; yields it, and ends it."""
    assert CHROMIUM is not None
    assert CHROMEDRIVER is not None
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=ChromeService(CHROMEDRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
