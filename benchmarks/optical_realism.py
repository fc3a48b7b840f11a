"""Simulated optical scenes next to real image and DEM pairs: cover, shading, texture, relief.

Real pairs are those of $DEMIURGE_DATA (Landsat, Sentinel-2, the ImageToDEM tiles) and the shipped
image of the Rocky Mountains. Simulated scenes are those of ``simulate --family optical --vary``:
made-up land of every style at 10 and 30 m, and real DEMs (``--terrain``), whose figures can be
compared with those of the real image of the same ground. All figures are of windows of at most
192 pixels, averaged by scene, then over scenes. Needs the extra simulate.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from scipy import ndimage

from common import data_folder, print_rows
from demiurge import open_scene, prepare, simulate
from demiurge.demo.rocky import rocky_files
from demiurge.raster.voids import fill_voids
from demiurge.scene.bands import name_inputs
from demiurge.simulation.styles import OPTICAL

Array = np.ndarray

#: Side of the windows that are measured, in pixels.
SIDE = 192
#: Fewest known pixels of a window, and of a class within it, as shares.
KNOWN, FEWEST = 0.6, 0.004
#: Pairs whose DEM ``--terrain`` can use without voids, for the paired comparison.
PAIRED = (
    "western_usa_landsat8/tile_002_gutzler", "western_usa_landsat8/tile_003_junkins",
    "western_usa_landsat8/tile_001_ecklund", "pennsylvania_landsat7_july/",
)  # fmt: skip
VISIBLE = ("red", "green", "blue")


@dataclass(frozen=True)
class Place:
    """An image over heights on one grid.

    Attributes
    ----------
    bands
        float32 (rows, columns) by name in any unit, NaN for no data.
    heights
        float32 in metres, or in any unit if relative.
    gsd
        Pixel size in metres; NaN where it or the unit of the heights is not known.
    """

    bands: dict[str, Array]
    heights: Array
    gsd: float


def measured(place: Place) -> dict[str, float]:
    """Return the mean figures of the windows of a place."""
    rows = [figures(window) for window in windows(place)]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a figure that no window has
        means = {k: float(np.nanmean([row.get(k, np.nan) for row in rows])) for k in keys}
    return {key: value for key, value in means.items() if np.isfinite(value)}


def windows(place: Place) -> Iterator[Place]:
    """Yield windows that do not overlap and are mostly known."""
    rows, columns = place.heights.shape
    high, wide = (min(SIDE, n) for n in (rows, columns))
    known = np.isfinite(place.heights)
    for band in place.bands.values():
        known = known & np.isfinite(band)
    for top in range(0, rows - high + 1, high):
        for left in range(0, columns - wide + 1, wide):
            part = (slice(top, top + high), slice(left, left + wide))
            if known[part].mean() >= KNOWN:
                cut = {n: np.where(known[part], b[part], np.nan) for n, b in place.bands.items()}
                heights = np.where(known[part], place.heights[part], np.nan)
                yield Place(cut, heights, place.gsd)


def figures(place: Place) -> dict[str, float]:
    """Return all figures of a window."""
    light, green = brightness(place.bands), greenness(place.bands)
    heights = fill_voids(np.asarray(place.heights, np.float32)).astype(float)
    known = np.isfinite(place.heights)
    down, across = np.gradient(heights)
    slope = np.hypot(down, across)
    sides = min(heights.shape)
    residual = heights - ndimage.gaussian_filter(heights, sides / 8, mode="nearest")
    row = by_class(classes(light, green, place.bands, known), heights, residual, slope, known)
    row["shading"] = max(
        multiple_r(place.bands[n], (down, across), known)
        for n in ("nir", "red")
        if n in place.bands
    )
    for name, image in (("light", light), ("green", green)):
        for other, plane in (("height", heights), ("residual", residual), ("slope", slope)):
            row[f"{name}~{other}"] = correlation(image, plane, known)
            row[f"|{name}~{other}|"] = abs(row[f"{name}~{other}"])
    layers = [light, green, *(ndimage.gaussian_filter(filled(p), s) for p in (light, green)
                              for s in (4.0, 12.0))]  # fmt: skip
    row["colours~height"] = multiple_r(heights, layers, known)
    return row | image_figures(place.bands, light, known) | relief(heights, slope, place.gsd)


def brightness(bands: dict[str, Array]) -> Array:
    """Return the mean of the visible bands, each over its median."""
    planes = [bands[n] / np.nanmedian(bands[n]) for n in VISIBLE if n in bands]
    return np.asarray(np.mean(planes, axis=0), float)


def greenness(bands: dict[str, Array]) -> Array:
    """Return NDVI, or the same index of green and red, after subtraction of dark objects."""
    high, low = (bands["nir" if "nir" in bands else "green"], bands["red"])
    high, low = (np.maximum(b - 0.9 * np.nanpercentile(b, 0.1), 0) for b in (high, low))
    least = 0.05 * np.nanmedian(high + low)
    return np.asarray((high - low) / np.maximum(high + low, least), float)


def classes(light: Array, green: Array, bands: dict[str, Array], known: Array) -> dict[str, Array]:
    """Return masks by class: water and snow by fixed limits, the rest by rank within the window."""
    low, high = (np.nanquantile(light[known], q) for q in (1 / 3, 2 / 3))
    few, many = (np.nanquantile(green[known], q) for q in (1 / 3, 2 / 3))
    if "nir" in bands:
        dark = bands["nir"] - 0.9 * np.nanpercentile(bands["nir"], 0.1)
        water = (dark < 0.25 * np.nanmedian(dark)) & (green < 0.1)
        snow = (light > 2.2) & (green < 0.15)
    else:
        blue = bands["blue"] / np.nanmedian(bands["blue"]) - bands["red"] / np.nanmedian(
            bands["red"]
        )
        water = (light < 0.6) & (blue > 0.15)
        snow = light > 2.6
    water = ndimage.binary_opening(water, iterations=1)
    rest = known & ~water & ~snow
    return {
        "water": water & known,
        "snow": snow & known,
        "woods": rest & (light < low) & (green > few),
        "greenest": rest & (green > many),
        "sparse": rest & (green < few) & (light <= high),
        "bare": rest & (green < few) & (light > high),
        "bright green": rest & (light > high) & (green >= few),
    }


def by_class(
    masks: dict[str, Array], heights: Array, residual: Array, slope: Array, known: Array
) -> dict[str, float]:
    """Return share, ranks of height and residual (0 to 1), and slope over the mean, by class."""
    ranks = [np.full(heights.shape, np.nan) for _ in range(2)]
    for rank, plane in zip(ranks, (heights, residual), strict=True):
        rank[known] = np.argsort(np.argsort(plane[known])) / max(int(known.sum()) - 1, 1)
    row = {}
    for name, mask in masks.items():
        share = float(mask.sum() / known.sum())
        row[f"{name} share"] = share
        if share >= FEWEST:
            row[f"{name} rank"] = float(np.mean(ranks[0][mask]))
            row[f"{name} residual"] = float(np.mean(ranks[1][mask]))
            row[f"{name} slope"] = float(slope[mask].mean() / max(slope[known].mean(), 1e-9))
    return row


def correlation(a: Array, b: Array, known: Array) -> float:
    a, b = a[known], b[known]
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0


def multiple_r(target: Array, planes: list[Array] | tuple[Array, ...], known: Array) -> float:
    """Return the multiple correlation of a target with planes: of an image with both components
    of the gradient, that with the shading by the best azimuth."""
    design = np.stack([np.ones(int(known.sum())), *(p[known] for p in planes)], axis=1)
    value = target[known]
    if value.std() == 0:
        return 0.0
    fit = design @ np.linalg.lstsq(design, value, rcond=None)[0]
    return float(np.sqrt(max(0.0, 1 - np.var(value - fit) / np.var(value))))


def filled(plane: Array) -> Array:
    return np.where(np.isfinite(plane), plane, np.nanmedian(plane))


def image_figures(bands: dict[str, Array], light: Array, known: Array) -> dict[str, float]:
    """Return histogram, grain, spectrum and band correlations."""
    row = {}
    low, high = np.nanpercentile(light, (2, 98))
    stretched = np.clip((light - low) / (high - low), 0, 1)
    for q in (10, 50, 90):
        row[f"stretched p{q}"] = float(np.nanpercentile(stretched, q))
    row["variation"] = float(np.nanstd(light) / np.nanmean(light))
    plain = filled(stretched)
    deviation = plain.std()
    for sigma in (1.0, 4.0, 16.0):
        fine = plain - ndimage.gaussian_filter(plain, sigma, mode="nearest")
        row[f"grain {sigma:g}"] = float(fine.std() / deviation)
    row["r lag 1"] = correlation(plain[:, 1:], plain[:, :-1], np.ones_like(plain[:, 1:], bool))
    row["image spectrum"] = spectral_slope(plain)
    pairs = (("blue", "red"), ("green", "red"), ("nir", "red"), ("nir", "green"))
    for a, b in pairs:
        if a in bands and b in bands:
            row[f"{a}~{b}"] = correlation(bands[a], bands[b], known)
    return row


def spectral_slope(plane: Array) -> float:
    """Return the exponent of the radial power spectrum, from wavelengths of 3 to 48 pixels."""
    side = min(plane.shape)
    square = plane[:side, :side] - plane[:side, :side].mean()
    taper = np.hanning(side)
    power = np.abs(np.fft.fft2(square * taper * taper[:, None])) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    edges = np.geomspace(1 / 48, 1 / 3, 9)
    place = np.digitize(frequency, edges)
    means = [power[place == k].mean() for k in range(1, len(edges))]
    middles = np.sqrt(edges[1:] * edges[:-1])
    return float(np.polyfit(np.log(middles), np.log(np.maximum(means, 1e-30)), 1)[0])


def relief(heights: Array, slope: Array, gsd: float) -> dict[str, float]:
    """Return statistics of the heights: relief and slopes (with known units), shape."""
    low, middle, high = np.percentile(heights, (1, 50, 99))
    laplace = np.abs(ndimage.laplace(heights)).mean()
    row = {
        "hypsometry": float((middle - low) / max(high - low, 1e-9)),
        "slope p90/mean": float(np.percentile(slope, 90) / max(slope.mean(), 1e-9)),
        "roughness": float(laplace / max(slope.mean(), 1e-9)),
        "height spectrum": spectral_slope(heights),
    }
    if np.isfinite(gsd):
        row["relief/side"] = float((high - low) / (gsd * np.sqrt(heights.size)))
        row["mean slope"] = float(slope.mean() / gsd)
    return row


def real_places(data: Path | None) -> dict[str, Place]:
    """Read every real pair by name."""
    places = {"rocky": rocky()}
    if data is None:
        return places
    for path in sorted((data / "pairs").glob("*/*image.tif")):
        name = f"{path.parent.name}/{path.name.removesuffix('image.tif').rstrip('_')}"
        known = "madre" not in name
        dem = path.with_name(path.name.replace("image", "dem"))
        places[name] = read_pair(path, dem, known=known)
    place = data / "pennsylvania_landsat7"
    if (place / "ms6.tif").exists():
        names = ("blue", "green", "red", "nir")
        places["pennsylvania_landsat7/"] = read_pair(place / "ms6.tif", place / "dem.tif", names)
    tiles = data / "imagetodem_tiles" / "tiles.npz"
    if tiles.exists():
        with np.load(tiles) as content:
            images, heights = content["arr_0"], content["arr_1"]
        for k, (image, height) in enumerate(zip(images, heights, strict=True)):
            planes = dict(zip(VISIBLE, np.moveaxis(image, -1, 0).astype(np.float32), strict=True))
            places[f"tile {k}"] = Place(planes, height.squeeze().astype(np.float32), np.nan)
    return places


def read_pair(image: Path, dem: Path, names: tuple[str, ...] = (), *, known: bool = True) -> Place:
    """Read an image with named bands, and the DEM on its grid."""
    with rasterio.open(image) as file:
        named = names or file.descriptions
        bands = {
            name: file.read(k, masked=True).astype(np.float32).filled(np.nan)
            for k, name in enumerate(named, start=1)
            if name in (*VISIBLE, "nir")
        }
        gsd = file.res[0] if known else np.nan
    with rasterio.open(dem) as file:
        heights = file.read(1, masked=True).astype(np.float32).filled(np.nan)
    return Place(bands, heights, gsd)


def rocky() -> Place:
    """Read the shipped image of the Rocky Mountains and its DEM at 100 m."""
    image, dem = rocky_files()
    with tempfile.TemporaryDirectory() as folder:
        files = name_inputs([str(image), f"truth_dtm={dem}"])
        scene = prepare(files, Path(folder) / "scene", gsd=100.0)
        return read_scene(scene.folder)


def read_scene(folder: Path | None) -> Place:
    assert folder is not None
    scene = open_scene(folder)
    names = [n for n in (*VISIBLE, "nir") if n in scene.layers]
    planes = scene.read(layers=[*names, "truth_dtm"])
    return Place(dict(zip(names, planes[:-1], strict=True)), planes[-1], scene.pixel_size)


def simulated_places(folder: Path, data: Path | None, sites: int) -> dict[str, Place]:
    """Simulate scenes of every style at 10 and 30 m, and of real DEMs."""
    places = {}
    for gsd in (10.0, 30.0):
        for style in OPTICAL:
            out = folder / f"{style}_{gsd:g}"
            made = simulate(
                out, family="optical", style=style, config={"size": SIDE, "gsd": gsd}, vary=True,
                sites=max(sites, 2), seed=1700,
            )  # fmt: skip
            places |= {f"{style} {gsd:g} m {p.name}": read_scene(p) for p in made}
    for name in PAIRED if data else ():
        assert data is not None
        dem = data / "pairs" / f"{name}{'' if name.endswith('/') else '_'}dem.tif"
        out = folder / name.replace("/", "_")
        made = simulate(
            out, family="optical", style="mixed", config={"size": SIDE, "gsd": 30}, vary=True,
            terrain=dem, sites=max(sites, 2) * 2, seed=1701,
        )  # fmt: skip
        places |= {f"on {name} {p.name}": read_scene(p) for p in made}
    return places


def summary(rows: dict[str, dict[str, float]], chosen: list[str]) -> dict[str, float]:
    """Return the means over some scenes, of those that have the figure."""
    keys = dict.fromkeys(key for name in chosen for key in rows[name])
    return {k: float(np.mean([rows[n][k] for n in chosen if k in rows[n]])) for k in keys}


def spread(rows: dict[str, dict[str, float]], chosen: list[str], key: str) -> str:
    values = [rows[name][key] for name in chosen if key in rows[name]]
    if not values:
        return ""
    low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=4, help="simulated scenes of each kind")
    parser.add_argument("--json", type=Path, help="JSON file for all figures")
    parser.add_argument("--each", action="store_true", help="print every scene")
    given = parser.parse_args()
    data = data_folder()
    rows = {name: measured(place) for name, place in real_places(data).items()}
    real = list(rows)
    with tempfile.TemporaryDirectory() as folder:
        made = simulated_places(Path(folder), data, given.sites)
        rows |= {name: measured(place) for name, place in made.items()}
    tiles = [n for n in real if n.startswith("tile")]
    groups = {
        "real pairs": [n for n in real if n not in tiles],
        "real tiles": tiles,
        "sim 10 m": [n for n in made if " 10 m" in n],
        "sim 30 m": [n for n in made if " 30 m" in n],
        "real, same DEMs": [n for n in real if n.startswith(PAIRED)],
        "sim on real DEMs": [n for n in made if n.startswith("on ")],
    }
    groups = {name: group for name, group in groups.items() if group}
    keys = list(dict.fromkeys(key for row in rows.values() for key in row))
    titles = " | ".join(f"{name} ({len(group)})" for name, group in groups.items())
    print("| median (10 to 90 % of scenes) |", titles, "|")
    print("| --- |", " --- |" * len(groups))
    for key in keys:
        print(f"| {key} |", " | ".join(spread(rows, g, key) for g in groups.values()), "|")
    if given.each:
        for part in (keys[k : k + 12] for k in range(0, len(keys), 12)):
            print_rows(rows, dict.fromkeys(part, "%.2f"), "scene")
    if given.json:
        content = {"scenes": rows, "groups": {n: summary(rows, g) for n, g in groups.items()}}
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
