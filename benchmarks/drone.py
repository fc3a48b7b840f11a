"""Height above ground from one aerial image: the recipe ``drone`` on real places kept out.

Trains the recipe on the open surfaces with colour (``--bundle`` judges a finished bundle instead).
It is compared with the mean height and with a gradient boosting on colours and local texture that
learns on the same scenes. Six aerial images have heights in an unknown unit: of these only the
correlation counts. The rasters are in $DEMIURGE_DATA or ../shared/data.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from scipy import ndimage

from common import data_folder, half_interval, print_rows, write_json
from demiurge import generate, open_scene, train
from demiurge.predict.options import Options
from demiurge.scene.grid import Window
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene
from demiurge.scene.spec import SPEC_NAME
from kept_out import surface_folder

Array = np.ndarray

TRAINING = (
    "auckland_cbd", "auckland_freemans", "auckland_grafton", "auckland_port", "auckland_suburb",
    "auckland_uptown", "auckland_wynyard", "autzen_west",
)  # fmt: skip
#: Each training place is prepared at these pixel sizes in metres.
SIZES = (0.5, 0.7, 1.0)
#: Files of the places kept out by layer; ``rgb`` has three bands.
SURFACE = {"rgb": "rgb.tif", "truth_dsm": "dsm.tif", "truth_dtm": "dtm.tif"}
ABOVE = {"rgb": "rgb.tif", "truth_height": "ndsm.tif"}
JUDGED = {
    "auckland_domain": SURFACE,
    "auckland_victoria": SURFACE,
    "zurich_shore": SURFACE,
    "ign_houses": SURFACE,
    "neon_sjer": ABOVE,
    "kootenay_drone": ABOVE | {"truth_height": "dem.tif"},
}
AERIAL = (
    "dublincity", "enschede", "eurosdr-vaihingen", "isprs-vaihingen", "toulouse-metropole",
    "toulouse-umbra",
)  # fmt: skip
#: Finer images are averaged to this pixel size in metres.
FINEST = 0.5
#: Places whose images have black margins that the file does not declare as no data.
BLACK = {"autzen_west"}
#: Parts of a scene that the regression learns on, their side in pixels, pixels of each, and widths
#: in metres of its surroundings.
PARTS, SIDE, PIXELS, WIDTHS = 8, 192, 1000, (2.0, 6.0, 18.0, 50.0)
COLUMNS = {
    "r": "%.2f", "r_boost": "%.2f", "mae": "%.2f", "mae_mean": "%.2f", "mae_boost": "%.2f",
    "rmse": "%.2f", "rmse_mean": "%.2f", "rmse_boost": "%.2f", "in_90": "%.2f",
}  # fmt: skip


def scene_of(folder: Path, source: Path, files: dict[str, str], gsd: float | None) -> Scene:
    """Prepare a place, or open it if it was prepared before."""
    if (folder / SPEC_NAME).is_file():
        return open_scene(folder)
    layers = {name: str(source / file) for name, file in files.items() if name != "rgb"}
    image = source / files["rgb"]
    layers |= {n: f"{image}:{band}" for band, n in enumerate(("red", "green", "blue"), start=1)}
    with rasterio.open(image) as file:
        own = float(file.transform.a)
    nodata = {n: [0.0] for n in ("red", "green", "blue")} if source.name in BLACK else None
    prepare(layers, folder, gsd=gsd or max(own, FINEST), nodata=nodata)
    return open_scene(folder)


def training_scenes(data: Path, folder: Path, quick: bool) -> list[Scene]:
    """Prepare the training places at several pixel sizes."""
    places, sizes = (TRAINING[:2], SIZES[-1:]) if quick else (TRAINING, SIZES)
    return [
        scene_of(folder / f"{place}_{size:g}", surface_folder(data, place), SURFACE, size)
        for place in places
        for size in sizes
    ]


def features_of(scene: Scene, window: Window | None = None) -> Array:
    """Return what the regression sees of each pixel: float32 (features, rows, columns).

    Colours in standard deviations of the scene, excess green, and means and deviations of both in
    surroundings of several widths.
    """
    names = ["red", "green", "blue"]
    colours = scene.read(window, layers=names).astype(np.float64)
    known = np.isfinite(colours).all(axis=0)
    of = [scene.statistics(name) for name in names]
    standard = np.stack([(c - s["mean"]) / s["std"] for c, s in zip(colours, of, strict=True)])
    standard = np.where(known, standard, 0)
    total = np.where(known, colours.sum(axis=0), 1).clip(1e-6)
    green = np.where(known, (2 * colours[1] - colours[0] - colours[2]) / total, 0)
    grey = standard.mean(axis=0)
    planes = [*standard, green]
    for width in WIDTHS:
        side = max(3, round(width / scene.pixel_size))
        for plane in (grey, green):
            mean = ndimage.uniform_filter(plane, side, mode="nearest")
            square = ndimage.uniform_filter(plane**2, side, mode="nearest")
            planes += [mean, np.sqrt(np.maximum(square - mean**2, 0))]
    planes.append(np.full_like(grey, scene.pixel_size))
    return np.where(known, np.stack(planes), np.nan).astype(np.float32)


def learned_regression(scenes: Sequence[Scene]) -> tuple[Any, float]:
    """Return a gradient boosting on pixels of all scenes, and their mean height."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    rng, xs, ys = np.random.default_rng(0), [], []
    for scene in scenes:
        for _ in range(PARTS):
            sides = [min(SIDE, n) for n in scene.shape]
            row, col = (
                int(rng.integers(n - s + 1)) for n, s in zip(scene.shape, sides, strict=True)
            )
            window = Window(row, col, *sides)
            x = features_of(scene, window)
            y = scene.read(window, layers=["truth_height"])[0]
            at = np.flatnonzero(np.isfinite(y.ravel()) & np.isfinite(x[0].ravel()))
            at = rng.choice(at, min(PIXELS, at.size), replace=False)
            xs.append(x.reshape(len(x), -1)[:, at].T)
            ys.append(y.ravel()[at])
    heights = np.concatenate(ys)
    model = HistGradientBoostingRegressor(
        max_iter=150, min_samples_leaf=100, early_stopping=False, random_state=0
    )
    return model.fit(np.concatenate(xs), heights), float(heights.mean())


def regressed(model: Any, scene: Scene) -> Array:
    """Return the heights that the regression predicts, not below 0."""
    x = features_of(scene)
    y = model.predict(x.reshape(len(x), -1).T).reshape(scene.shape)
    return np.maximum(y, 0)


def figures(truth: Array, heights: dict[str, Array], *, metric: bool) -> dict[str, float]:
    """Return correlations and, if the truth is in metres, errors; keys are those of ``COLUMNS``."""
    row = {}
    known = np.isfinite(truth)
    for values in heights.values():
        known &= np.isfinite(values)
    y = truth[known].astype(np.float64)
    for name, values in heights.items():
        x, end = values[known].astype(np.float64), f"_{name}" if name else ""
        if np.ptp(x) > 0:
            row[f"r{end}"] = float(np.corrcoef(x, y)[0, 1])
        if metric:
            row[f"mae{end}"] = float(np.abs(x - y).mean())
            row[f"rmse{end}"] = float(np.sqrt(np.square(x - y).mean()))
    return row


def judged(
    scene: Scene, bundle: Path | None, model: Any, mean: float, out: Path, *, metric: bool
) -> dict[str, float]:
    """Return the figures of a scene kept out; without a bundle those of the rivals."""
    truth = scene.read(layers=["truth_height"])[0]
    compared = {"boost": regressed(model, scene), "mean": np.full(truth.shape, mean)}
    if bundle is None:
        return figures(truth, compared, metric=metric)
    generate(scene, out, bundle=bundle, options=Options(overwrite=True))
    with rasterio.open(out) as file:
        predicted, *rest = file.read().astype(np.float64)
    row = figures(truth, {"": predicted, **compared}, metric=metric)
    if rest and metric:
        both = np.isfinite(truth) & np.isfinite(predicted)
        # An interval of a Laplace distribution, whose standard deviation is √2 scales.
        held = np.abs(predicted - truth)[both] <= half_interval(rest[0][both])
        row["in_90"] = float(held.mean())
    return row


def measure(
    data: Path, scenes: Path, bundle: Path | None, *, rivals: bool, quick: bool
) -> dict[str, Any]:
    """Train unless a bundle is given or only the rivals are wanted, and judge all places."""
    training = training_scenes(data, scenes, quick)
    if bundle is None and not rivals:
        bundle = scenes / "drone.bundle"
        few = ("epochs=1", "chips.per_epoch=16") if quick else ()
        train(training, bundle, recipe="drone", changes=few, overwrite=True, quiet=False)
    model, mean = learned_regression(training)
    rows = {}
    for place, files in JUDGED.items():
        scene = scene_of(scenes / f"judge_{place}", surface_folder(data, place), files, None)
        rows[place] = judged(scene, bundle, model, mean, scenes / "out.tif", metric=True)
    for place in AERIAL:
        source = data / "aerial_single" / place
        files = {"rgb": "image.tif", "truth_height": "relief.tif"}
        scene = scene_of(scenes / f"judge_{place}", source, files, None)
        rows[place] = judged(scene, bundle, model, mean, scenes / "out.tif", metric=False)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=measure.__doc__)
    parser.add_argument("--bundle", type=Path, help="bundle to judge; trained if not given")
    parser.add_argument("--rivals", action="store_true", help="judge only mean and regression")
    parser.add_argument("--scenes", type=Path, help="folder that keeps the prepared scenes")
    parser.add_argument("--quick", action="store_true", help="few chips; shows that it runs")
    parser.add_argument("--json", type=Path, help="JSON file for all figures")
    arguments = parser.parse_args()
    data = data_folder()
    if data is None:
        return
    with tempfile.TemporaryDirectory() as temporary:
        scenes = arguments.scenes or Path(temporary)
        scenes.mkdir(parents=True, exist_ok=True)
        rows = measure(
            data, scenes, arguments.bundle, rivals=arguments.rivals, quick=arguments.quick
        )
    print_rows(rows, COLUMNS, "place")
    if arguments.json:
        write_json(arguments.json, rows)


if __name__ == "__main__":
    main()
