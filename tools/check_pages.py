#!/usr/bin/env python3
"""Look at HTML pages in a browser: accessibility by axe-core, errors in its console, the keyboard, narrow screens.

    python tools/check_pages.py build/docs/README.html runs/page.html   # these pages
    python tools/check_pages.py build/docs                              # every page of the site
    python tools/check_pages.py build/docs --shots /tmp/shots           # and keep a picture of each, wide and narrow

Each page is opened in Chromium, 1280 and 420 pixels wide, in light and dark. What must hold: axe-core finds nothing
against WCAG 2.0 to 2.2, A and AA; the console has no error; nothing is fetched from another host; the page is no wider
than the screen; and the Tab key reaches every link, button and field that can be seen. It needs playwright and
axe-playwright-python (the group `pages` of pyproject.toml) and a Chromium of the system; no browser is downloaded.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

WIDTHS = (1280, 420)
SCHEMES = ("light", "dark")
HEIGHT = 900
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}

VISIBLE_STOPS = """() => [...document.querySelectorAll(
    'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]:not([tabindex="-1"])')]
    .filter(each => each.tabIndex >= 0 && !each.disabled
        && each.checkVisibility({checkVisibilityCSS: true, checkOpacity: true})
        && each.getBoundingClientRect().width > 0).length"""

MARK_FOCUSED = """() => {
    const here = document.activeElement;
    if (!here || here === document.body || here.dataset.reached) return false;
    here.dataset.reached = '1';
    return true;
}"""

REACHED = "() => document.querySelectorAll('[data-reached]').length"

MOST_STOPS = 5000


def main() -> int:
    """Check what is named; 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="+", type=Path, help="HTML files, or folders of them")
    parser.add_argument("--shots", type=Path, help="keep pictures here")
    options = parser.parse_args()
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if browser_path is None:
        print("pages: there is no Chromium here: apt-get install chromium", file=sys.stderr)
        return 2
    pages = [page for named in options.pages for page in (sorted(named.rglob("*.html")) if named.is_dir() else [named])]
    problems = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for page in pages:
            for problem in check(browser, page, options.shots):
                print(f"{page}: {problem}", flush=True)
                problems += 1
        browser.close()
    print(f"pages: {len(pages)} looked at in {len(WIDTHS)} widths, light and dark: {problems} problems")
    return 1 if problems else 0


def check(browser: Browser, file: Path, shots: Path | None) -> Iterator[str]:
    """What is wrong with a page, in words.

    Args:
        browser: opens it.
        file: the page.
        shots: where pictures are kept; None keeps none.
    """
    for width in WIDTHS:
        for scheme in SCHEMES:
            context = browser.new_context(viewport={"width": width, "height": HEIGHT}, color_scheme=scheme)
            page = context.new_page()
            said: list[str] = []
            page.on(
                "console", lambda message, said=said: said.append(message.text) if message.type == "error" else None
            )
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.on(
                "request",
                lambda request, said=said: (
                    said.append(f"asks for {request.url}")
                    if not request.url.startswith(("file:", "data:", "blob:"))
                    else None
                ),
            )
            page.goto(file.resolve().as_uri())
            where = f"{width} px, {scheme}"
            yield from (f"{where}: {text}" for text in said)
            yield from (f"{where}: {text}" for text in violations(page))
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                yield f"{where}: the page is {wide} px wide"
            if scheme == "light":
                yield from (f"{where}: {text}" for text in unreached(page))
            if shots is not None:
                shots.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=shots / f"{file.stem}-{width}-{scheme}.png")
            context.close()


def violations(page: Page) -> Iterator[str]:
    """What axe-core has against a page."""
    results: dict[str, Any] = Axe().run(page, options=RULES).response
    for violation in results["violations"]:
        for node in violation["nodes"]:
            yield f"{violation['id']} ({violation['impact']}): {node['target']}: {node['html'][:120]}"


def unreached(page: Page) -> Iterator[str]:
    """Whether the Tab key leads to everything that can be used and seen."""
    stops = page.evaluate(VISIBLE_STOPS)
    for _ in range(min(stops + 20, MOST_STOPS)):
        page.keyboard.press("Tab")
        page.evaluate(MARK_FOCUSED)
    reached = page.evaluate(REACHED)
    if reached < stops:
        yield f"Tab reaches {reached} of {stops} links, buttons and fields"


if __name__ == "__main__":
    sys.exit(main())
