"""A real browser for tests of websites: Debian's Chromium, driven by Playwright. Skipped by name where one is missing.

A directory's conftest imports the fixtures ``browser`` and ``windows``, a test module :data:`pytestmark`.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Dialog, Page

CHROMIUM = shutil.which("chromium") or ""

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium: tools/test-tools.sh installs it, as root on Debian"),
]

Windows = Callable[..., "Page"]
"""Opens a page in a window of its own, with that base URL and options of Playwright's ``new_context``."""


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """One Chromium for all tests."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (make setup)")
    driver = playwright.sync_playwright()
    try:
        started = driver.start()
    except Exception as error:
        pytest.skip(f"Playwright's driver does not start (Debian: libatomic1): {error}")
    found = started.chromium.launch(executable_path=CHROMIUM)
    yield found
    found.close()
    started.stop()


@pytest.fixture
def windows(browser: "Browser") -> Iterator[Windows]:
    """Opens windows. What a page complains about on the console (a breach of its policy too), an uncaught error or a
    dialog fails the test at its end."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(base: str, **options: Any) -> "Page":
        context = browser.new_context(base_url=base, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: _note(complaints, page, message.type, message.text))
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.on("dialog", lambda dialog: _dismiss(complaints, dialog))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def _dismiss(complaints: list[str], dialog: "Dialog") -> None:
    complaints.append(f"{dialog.type}: {dialog.message}")
    dialog.dismiss()


def _note(complaints: list[str], page: "Page", kind: str, text: str) -> None:
    if kind in ("error", "warning") and "net::ERR_FAILED" not in text:  # that is what a test of ours made fail
        complaints.append(f"{page.url}: {kind}: {text}")


def serious_faults(page: "Page") -> list[tuple[str, str, list[str]]]:
    """What axe finds on the page as it is, with everything unfolded: rule, impact, and some of the elements."""
    for details in page.locator("details").all():
        details.evaluate("panel => panel.open = true")
    import axe_playwright_python

    page.evaluate(Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text())
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        (fault["id"], fault["impact"], [node["html"][:200] for node in fault["nodes"][:3]])
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
