"""The page in headless Chromium: layers, swipe, values, profiles, 3D, sizes, accessibility."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demiurge.evaluation.report.profiles import sample_profile
from demiurge.viewer.catalogue import open_catalogue
from demiurge.viewer.run import Viewer, serve
from demiurge.viewer.server import PAGE
from view_rasters import GSD, NORTH, WEST

Image = pytest.importorskip("PIL.Image")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
AXE = PAGE.parent / "node_modules" / "axe-core" / "axe.min.js"
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
    pytest.mark.skipif(not PAGE.is_dir(), reason="the page is not built"),
]
_GL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
_PLAIN = ["--disable-gpu", "--disable-3d-apis"]


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        yield running.chromium


@pytest.fixture(scope="module")
def browser(engine: Any) -> Iterator[Any]:
    launched = engine.launch(executable_path=CHROMIUM, args=["--no-sandbox", *_GL])
    yield launched
    launched.close()


@pytest.fixture
def viewer(files: list[Path]) -> Iterator[Viewer]:
    served = serve(files)
    yield served
    served.close()


class Watched:
    """A page whose console and requests are recorded."""

    def __init__(self, browser: Any, viewer: Viewer, hash_: str = "", **context: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}} | context)
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: m.type == "error" and self.faults.append(m.text))
        self.page.on("pageerror", lambda e: self.faults.append(str(e)))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.goto(viewer.url + hash_)
        self.page.wait_for_selector("body[data-ready=true]", timeout=60_000)
        self.settle()
        for _ in range(40):  # the first tiles may take long on a busy machine
            if self.colours() > 20:
                break
            self.page.wait_for_timeout(500)

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def settle(self) -> None:
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_timeout(400)

    def choose(self, field: str, value: str) -> None:
        """Choose an option and wait for the maps."""
        self.page.select_option(field, value)
        self.settle()

    def require_clean(self, viewer: Viewer) -> None:
        assert self.faults == []
        inside = (viewer.url, "blob:", "data:")
        assert [url for url in self.requests if not url.startswith(inside)] == []

    def image(self) -> np.ndarray:
        """Return the maps, uint8 (rows, columns, 3)."""
        shot = self.page.locator("#maps").screenshot()
        return np.array(Image.open(io.BytesIO(shot)).convert("RGB"))

    def colours(self) -> int:
        """Return the number of different colours on the maps."""
        return len(np.unique(self.image().reshape(-1, 3), axis=0))

    def middle(self, column: float = 0.5, row: float = 0.5) -> tuple[float, float]:
        box = self.page.locator("#map-a").bounding_box()
        return box["x"] + box["width"] * column, box["y"] + box["height"] * row


def changed(one: np.ndarray, other: np.ndarray) -> float:
    """Return the share of pixels that differ visibly."""
    return float((np.abs(one.astype(int) - other).max(axis=-1) > 12).mean())


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.replace("±", "").replace("m", "").split() if part]


def test_layers_swipe_and_values(browser: Any, viewer: Viewer) -> None:
    with Watched(browser, viewer) as seen:
        page = seen.page
        assert seen.colours() > 50
        first = seen.image()
        seen.choose("#f-layer", "L5")
        assert changed(seen.image(), first) > 0.1
        seen.choose("#f-layer", "L0")
        seen.choose("#f-compare", "L5")
        both = seen.image()
        page.focus("#swipe")
        for _ in range(20):
            page.keyboard.press("ArrowLeft")
        seen.settle()
        assert changed(seen.image(), both) > 0.03
        assert "swipe=30" in page.url
        seen.choose("#f-compare", "")
        page.mouse.click(*seen.middle())
        page.wait_for_selector("#results tbody tr")
        rows = {r.locator("th").inner_text(): r.locator("td").all_inner_texts()
                for r in page.locator("#results tbody tr").all()}  # fmt: skip
        assert numbers(rows["better.tif: dsm"][0])[0] == pytest.approx(128, abs=0.15)
        assert numbers(rows["better.tif: dsm"][1]) == [0.5]
        initial, better = (numbers(rows[name][0])[0] for name in ("initial.tif", "better.tif: dsm"))
        assert initial - better == pytest.approx(1, abs=0.02)
        assert "EPSG:32633" in page.inner_text("#results .about")
        seen.require_clean(viewer)


def test_the_link_keeps_the_view(browser: Any, viewer: Viewer) -> None:
    with Watched(browser, viewer) as seen:
        seen.choose("#f-layer", "L4")
        seen.page.fill("#f-high", "140")
        seen.page.locator("#f-high").blur()
        seen.settle()
        address, image = seen.page.url, seen.image()
        assert seen.colours() > 50
    with Watched(browser, viewer, address[len(viewer.url) :]) as again:
        assert again.page.input_value("#f-layer") == "L4"
        assert again.page.input_value("#f-high") == "140"
        for _ in range(20):
            if changed(again.image(), image) < 0.02:
                break
            again.page.wait_for_timeout(500)
        assert changed(again.image(), image) < 0.02


def test_a_profile_is_that_of_evaluate(browser: Any, viewer: Viewer, files: list[Path]) -> None:
    with Watched(browser, viewer) as seen:
        page = seen.page
        page.check("#tool-line")
        with page.expect_response(lambda r: "/api/profile" in r.url) as asked:
            for column in (0.42, 0.58):
                page.mouse.click(*seen.middle(column))
                page.wait_for_timeout(400)
        answer = asked.value.json()
        ends = [float(v) for pair in answer["title"].split(" to ") for v in pair.split(", ")]
        x1, y1, x2, y2 = ends
        source = open_catalogue(files[:1]).layers["L0"].sources[0]
        expected = sample_profile((x1, y1, x2, y2), {"dsm": source}, source.grid).heights["dsm"]
        drawn = answer["values"]["L0"]
        assert abs(len(drawn) - len(expected)) <= 1
        count = min(len(drawn), len(expected))
        assert drawn[:count] == pytest.approx(expected[:count].tolist(), abs=0.11)
        assert WEST < x1 < x2 < WEST + 160 * GSD
        assert NORTH - 240 < y1 < NORTH
        page.wait_for_selector("#results svg polyline")
        assert page.locator("#results svg polygon").count() == 2
        with page.expect_download() as saved:
            page.click("text=Save CSV")
        table = Path(saved.value.path()).read_text().splitlines()
        assert table[0].startswith('distance_m,"better.tif: dsm"')
        assert len(table) == len(drawn) + 1
        with page.expect_download() as picture:
            page.click("text=Save picture")
        assert Path(picture.value.path()).read_bytes().startswith(b"\x89PNG")
        seen.require_clean(viewer)


def test_statistics_of_a_box_of_a_difference(browser: Any, viewer: Viewer) -> None:
    with Watched(browser, viewer) as seen:
        page = seen.page
        seen.choose("#f-layer", "L4")
        seen.choose("#f-compare", "L0")
        page.click("text=Difference of the two")
        playwright.expect(page.locator("#f-layer")).to_have_value("L4-L0", timeout=20_000)
        seen.settle()
        page.check("#tool-box")
        for column, row in ((0.45, 0.45), (0.55, 0.55)):
            page.mouse.click(*seen.middle(column, row))
            page.wait_for_timeout(400)
        page.wait_for_selector("#results tbody tr")
        rows = page.locator("#results tbody tr").all_inner_texts()
        assert any(r.startswith("mean\t") and "1.00 m" in r for r in rows)
        seen.require_clean(viewer)


def test_terrain_rises_and_lies_down(browser: Any, viewer: Viewer) -> None:
    with Watched(browser, viewer) as seen:
        flat = seen.image()
        seen.page.check("#f-terrain")
        seen.page.wait_for_timeout(2500)
        raised = seen.image()
        assert changed(raised, flat) > 0.05
        assert any("style=terrain" in url for url in seen.requests)
        seen.page.uncheck("#f-terrain")
        seen.page.wait_for_timeout(1500)
        assert changed(seen.image(), flat) < 0.05
        seen.require_clean(viewer)


def test_the_keyboard_asks_for_values(browser: Any, viewer: Viewer) -> None:
    with Watched(browser, viewer) as seen:
        seen.page.focus("#map-a canvas")
        seen.page.keyboard.press("Enter")
        seen.page.wait_for_selector("#results tbody tr")
        seen.page.click("text=Close")
        assert seen.page.locator("#results").is_hidden()


@pytest.mark.parametrize("size", [(390, 800), (1600, 900)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sizes_and_colour_schemes(
    browser: Any, viewer: Viewer, size: tuple[int, int], scheme: str
) -> None:
    viewport = {"width": size[0], "height": size[1]}
    with Watched(browser, viewer, viewport=viewport, color_scheme=scheme) as seen:
        page = seen.page
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        dark = sum(int(v) for v in background[4:-1].split(",")) < 200
        assert dark == (scheme == "dark")
        page.mouse.click(*seen.middle())
        page.wait_for_selector("#results tbody tr")
        page.evaluate(AXE.read_text())
        violations = page.evaluate("axe.run()")["violations"]
        serious = [v["id"] for v in violations if v["impact"] in ("serious", "critical")]
        assert serious == [], json.dumps(violations, indent=1)[:3000]
        seen.require_clean(viewer)


def test_without_webgl_maps_are_pictures(engine: Any, viewer: Viewer) -> None:
    launched = engine.launch(executable_path=CHROMIUM, args=["--no-sandbox", *_PLAIN])
    try:
        with Watched(launched, viewer) as seen:
            assert "no WebGL" in seen.page.inner_text("#status")
            assert seen.page.locator("#map-a img").count() >= 1
            assert seen.colours() > 20
            seen.page.mouse.click(*seen.middle())
            seen.page.wait_for_selector("#results tbody tr")
            text = seen.page.locator("#results tbody tr").first.inner_text()
            assert "128." in text or "127.9" in text
            seen.require_clean(viewer)
    finally:
        launched.close()
