"""HTML summaries: escaped, self-contained; thumbnails with known colours."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from conftest import terrain
from demiurge.summary import (
    THUMBNAIL,
    Picture,
    Table,
    html_summary,
    png,
    shaded,
    stretched,
    thinning,
)

EVIL = "<script>alert(1)</script> & \"x\" 'y'"


class Tags(HTMLParser):
    """Collects elements, attributes and text; fails on elements that are closed in disorder."""

    VOID = ("img",)

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(text: str) -> Tags:
    """Return the elements of a summary that loads nothing and runs nothing."""
    page = Tags()
    page.feed(text)
    page.close()
    assert page.open == []
    assert not {"script", "link", "iframe", "style", "object"} & {tag for tag, _ in page.seen}
    for tag, attributes in page.seen:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:image/png;").startswith("data:image/png;"), tag
    return page


def test_all_texts_are_escaped() -> None:
    text = html_summary(
        EVIL,
        [(EVIL, EVIL), ("empty", "")],
        pictures=[Picture(EVIL, np.zeros((2, 3, 4), np.uint8))],
        tables=[Table((EVIL,), [(EVIL,)])],
        notes=[EVIL],
        folded=(EVIL, Table((EVIL, EVIL), [(EVIL, EVIL)])),
    )
    page = parsed(text)
    assert page.text.count(EVIL) == 12
    assert "empty" not in page.text
    (image,) = (attributes for tag, attributes in page.seen if tag == "img")
    assert image["alt"] == EVIL
    assert (image["width"], image["height"]) == ("3", "2")


def test_pictures_are_in_the_page() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (7, 5, 4), np.uint8)
    text = html_summary("a", [], pictures=[Picture("b", pixels)])
    match = re.search(r"base64,([^\"]+)", text)
    assert match is not None
    content = base64.b64decode(match[1])
    assert content == png(pixels)
    with (
        pytest.warns(NotGeoreferencedWarning),
        MemoryFile(content) as file,
        file.open() as image,
    ):
        np.testing.assert_array_equal(image.read(), pixels.transpose(2, 0, 1))


def test_heights_are_coloured_by_height_and_shaded_by_slope() -> None:
    ramp = np.tile(np.linspace(100, 200, 50, dtype=np.float32), (40, 1))
    ramp[3:6, 3:6] = np.nan
    pixels, low, high = shaded(ramp, 100.0)
    assert (100 <= low < 104) and (196 < high <= 200)
    assert (pixels[3:6, 3:6, 3] == 0).all()
    assert (pixels[10:, :, 3] == 255).all()
    assert pixels[20, 2, 2] > pixels[20, 2, 1], "low is violet"
    assert pixels[20, 47, 1] > pixels[20, 47, 2], "high is yellow"
    east, _, _ = shaded(ramp, 10.0)
    west, _, _ = shaded(ramp[:, ::-1].copy(), 10.0)
    assert east[20, 25].sum() > west[20, 24].sum(), "the light comes from the north-west"
    nothing, low, _ = shaded(np.full((4, 4), np.nan, np.float32), 1.0)
    assert (nothing[..., 3] == 0).all() and np.isnan(low)


def test_images_are_stretched() -> None:
    grey = stretched(terrain(30, 30)[None])
    assert grey.shape == (30, 30, 4)
    assert (grey[..., 0] == grey[..., 2]).all()
    assert grey[..., 0].min() == 0 and grey[..., 0].max() == 255
    colour = np.stack([terrain(30, 30), 2 * terrain(30, 30), terrain(30, 30, seed=3)])
    colour[1, 4, 4] = np.nan
    pixels = stretched(colour)
    assert np.abs(pixels[..., 0].astype(int) - pixels[..., 1]).max() <= 1
    assert pixels[4, 4, 3] == 0


def test_thumbnails_are_small() -> None:
    for shape in ((1, 1), (THUMBNAIL, 7), (THUMBNAIL + 1, 5000), (12345, 678)):
        step = thinning(shape)
        assert max(-(-n // step) for n in shape) <= THUMBNAIL
        assert step == 1 or max(shape) / (step - 1) > THUMBNAIL
