"""Screenshots of the viewer for the documentation, from files given on the command line.

``python docs/screenshots.py refined.tif dsm.tif truth_dsm.tif left.tif`` with Chromium installed.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from demiurge.viewer.run import serve

OUT = Path(__file__).parent / "images"
GL = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]


def main() -> None:
    viewer = serve(sys.argv[1:])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=GL)
        swipe(browser, viewer.url)
        terrain(browser, viewer.url)
        profile(browser, viewer.url)
        difference(browser, viewer.url)
        browser.close()
    viewer.close()


def swipe(browser: Any, url: str) -> None:
    page = opened(browser, url)
    page.select_option("#f-compare", "L4")
    save(page, "view_swipe")


def terrain(browser: Any, url: str) -> None:
    page = opened(browser, url)
    page.check("#f-terrain")
    page.wait_for_timeout(4000)
    page.mouse.move(*at(page, 0.5, 0.5))
    page.mouse.down(button="right")
    page.mouse.move(*at(page, 0.42, 0.52), steps=5)
    page.mouse.up(button="right")
    save(page, "view_3d")


def profile(browser: Any, url: str) -> None:
    page = opened(browser, url)
    page.check("#tool-line")
    for column, row in ((0.36, 0.55), (0.64, 0.55)):
        page.mouse.click(*at(page, column, row))
        page.wait_for_timeout(800)
    save(page, "view_profile")


def difference(browser: Any, url: str) -> None:
    page = opened(browser, url, color_scheme="dark")
    page.select_option("#f-compare", "L5")
    page.wait_for_timeout(800)
    page.click("text=Difference of the two")
    page.wait_for_timeout(1500)
    page.check("#tool-box")
    for column, row in ((0.4, 0.2), (0.6, 0.4)):
        page.mouse.click(*at(page, column, row))
        page.wait_for_timeout(800)
    save(page, "view_difference")


def opened(browser: Any, url: str, **context: Any) -> Any:
    page = browser.new_context(viewport={"width": 1200, "height": 760}, **context).new_page()
    page.goto(url)
    page.wait_for_selector("body[data-ready=true]", timeout=60_000)
    page.wait_for_timeout(1500)
    return page


def at(page: Any, column: float, row: float) -> tuple[float, float]:
    box = page.locator("#map-a").bounding_box()
    return box["x"] + box["width"] * column, box["y"] + box["height"] * row


def save(page: Any, name: str) -> None:
    page.wait_for_timeout(2500)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.save(OUT / f"{name}.jpg", quality=80, optimize=True)


if __name__ == "__main__":
    main()
