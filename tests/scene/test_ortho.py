from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from demiurge.scene.camera import to_geographic
from demiurge.scene.grid import Window, full_window
from demiurge.scene.ortho import Ortho, image_coordinates
from scene.cameras import affine_camera, grid_of

GSD = 0.5
#: Metres east and north per metre of height: the sensor is in the south-west.
DISPLACEMENT = (0.4, 0.3)


def ground(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the brightness of the ground at metres east and south of the corner."""
    return 100 + 30 * np.sin(x / 5) + 20 * np.cos(y / 7)


def raw_image(heights: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Render the view of the affine camera of a smooth surface about 100 m high."""
    rows, cols = np.mgrid[0:220, 0:290]
    x, y = (cols + 0.5) * GSD - 5, (rows + 0.5) * GSD - 5
    # The ground point of each pixel is shifted by the displacement times its height.
    px, py = x.copy(), y.copy()
    for _ in range(60):
        above = heights(px, py) - 100
        px, py = x - DISPLACEMENT[0] * above, y + DISPLACEMENT[1] * above
    return ground(px, py).astype(np.float32)


def hill(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 100 + 12 * np.exp(-((x - 60) ** 2 + (y - 45) ** 2) / 800)


def reader(image: np.ndarray) -> Callable[[Window, int], np.ndarray]:
    def read(window: Window, step: int) -> np.ndarray:
        part = image[window.slices]
        rows, cols = -(-part.shape[0] // step), -(-part.shape[1] // step)
        padded = np.pad(
            part,
            ((0, rows * step - part.shape[0]), (0, cols * step - part.shape[1])),
            mode="edge",
        )
        return padded.reshape(rows, step, cols, step).mean(axis=(1, 3)).astype(np.float32)

    return read


def setting(gsd: float = 1.0):  # type: ignore[no-untyped-def]
    grid = grid_of(rows=int(96 / gsd), cols=int(128 / gsd), gsd=gsd)
    # The raw image starts 5 m outside the grid's corner.
    camera = affine_camera(grid, DISPLACEMENT, GSD).shifted(5 / GSD, 5 / GSD)
    rows, cols = np.mgrid[0 : grid.shape[0], 0 : grid.shape[1]]
    x, y = (cols + 0.5) * gsd, (rows + 0.5) * gsd
    return grid, camera, x, y


def orthoimage(
    image: np.ndarray,
    surface: np.ndarray,
    *,
    gsd: float = 1.0,
    window: Window | None = None,
    occlusions: bool = True,
    moved: float = 0,
) -> np.ndarray:
    grid, camera, _, _ = setting(gsd)
    levels = float(np.median(surface)), float(surface.max())
    ortho = Ortho.plan(camera, image.shape, grid, levels, occlusions=occlusions)
    if moved:
        ortho = replace(ortho, camera=camera.shifted(moved, 0))
    window = window or full_window(grid)
    return ortho.read(window, reader(image), lambda w: surface[w.slices])


@pytest.mark.parametrize("gsd", [1.0, 4.0])
def test_the_orthoimage_of_a_hill_shows_the_ground(gsd: float) -> None:
    _, _, x, y = setting(gsd)
    result = orthoimage(raw_image(hill), hill(x, y).astype(np.float32), gsd=gsd)
    # Pixels of 4 m average the pattern: its amplitude is lower, its phase is the same.
    wanted = ground(x, y)
    assert np.isfinite(result).all()
    assert np.corrcoef(result.ravel(), wanted.ravel())[0, 1] > 0.999
    assert np.abs(result - wanted).max() < (0.5 if gsd == 1 else 4)


def test_windows_equal_the_full_orthoimage() -> None:
    _, _, x, y = setting()
    surface, image = hill(x, y).astype(np.float32), raw_image(hill)
    surface[40:50, 60:70] += 15
    full = orthoimage(image, surface)
    assert np.isnan(full).any()
    for window in (Window(0, 0, 48, 64), Window(40, 50, 56, 78)):
        part = orthoimage(image, surface, window=window)
        assert np.array_equal(np.isnan(part), np.isnan(full[window.slices]))
        assert np.nanmax(np.abs(part - full[window.slices])) < 0.005


def test_coordinates_are_exact_to_a_thousandth_of_a_pixel() -> None:
    grid, camera, x, y = setting()
    heights = hill(x, y).astype(np.float32)
    rows, cols = image_coordinates(camera, grid, heights)
    above = heights - 100.0
    assert np.abs(rows - (y - DISPLACEMENT[1] * above + 5) / GSD).max() < 1e-2
    # Compared with exact geographic coordinates of every pixel, without interpolation.
    lon, lat = to_geographic(grid, grid.affine.c + x, grid.affine.f - y)
    exact = camera.image_of(lon, lat, heights.astype(np.float64))
    assert np.abs(rows - exact[0]).max() < 1e-3
    assert np.abs(cols - exact[1]).max() < 1e-3


def test_hidden_ground_is_masked_on_request() -> None:
    grid = setting()[0]
    surface = np.full(grid.shape, 100, np.float32)
    surface[30:60, 50:80] = 120  # a block 20 m high
    image = raw_image(lambda px, py: np.full_like(px, 100.0))
    masked = np.isnan(orthoimage(image, surface))
    # 20 m of height are displaced by 8 m east and 6 m north, which the block hides.
    assert masked[45, 80:87].all()
    assert not masked[45, 90:].any()
    assert masked[25:30, 60].all()
    assert not masked[30:60, 50:80].any()
    assert not masked[62:, :].any()
    assert not np.isnan(orthoimage(image, surface, occlusions=False)).any()


def test_pixels_outside_the_image_are_no_data() -> None:
    grid = setting()[0]
    surface = np.full(grid.shape, 100, np.float32)
    image = raw_image(lambda px, py: np.full_like(px, 100.0))[:, :150].copy()
    image[60:80, 40:60] = np.nan
    voids = np.isnan(orthoimage(image, surface))
    assert voids[:, 71:].all()  # the image ends 75 - 5 m from the grid's corner
    assert not voids[:20, :69].any()
    assert voids[26:34, 16:24].all()
    assert not voids[40:, :60].any()
    assert np.isnan(orthoimage(image, surface, moved=10_000)).all()
