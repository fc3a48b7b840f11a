"""The shipped generate bundle: with a prior, on ground points, over large scenes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin

from common import Claim, at_most, main
from demiurge import Options, generate, open_scene, simulate
from demiurge.predict.anchor import fit_points, sample
from demiurge.predict.levels import mismatch, pair_up, solve
from demiurge.scene.open import name_inputs
from demiurge.scene.prepare import prepare
from demiurge.scene.scene import Scene
from demiurge.scene.write import write_planes

SEED = 6000


def measure(quick: bool) -> list[Claim]:
    """RMSE and slope error against the upsampled prior; anchoring; consistency."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [
            *_simulated(folder, quick),
            *_real(folder),
            *_points(),
            *_large(),
        ]


def _compare(scene: Scene, folder: Path) -> dict[str, np.ndarray]:
    """Errors of heights and of slopes, of the prior and of the result."""
    prior, truth = scene.read(layers=["dem_prior", "truth_dtm"])
    generate(scene, folder / "out.tif", options=Options(overwrite=True))
    with rasterio.open(folder / "out.tif") as file:
        found = file.read(1)
    inner = (slice(8, -8), slice(8, -8))
    slopes = [np.hypot(*np.gradient(h, scene.pixel_size)) for h in (prior, found, truth)]
    return {
        "prior": (prior - truth)[inner],
        "result": (found - truth)[inner],
        "prior's slope": (slopes[0] - slopes[2])[inner],
        "result's slope": (slopes[1] - slopes[2])[inner],
    }


def _rms(parts: list[np.ndarray]) -> float:
    every = np.concatenate([p[np.isfinite(p)] for p in parts]).astype(np.float64)
    return float(np.sqrt(np.square(every).mean()))


def _simulated(folder: Path, quick: bool) -> list[Claim]:
    claims = []
    for gsd, coarse, goal in ((10.0, 30.0, 1.0), (10.0, 90.0, 0.7), (30.0, 90.0, 1.0)):
        config = {"size": 256 if quick else 512, "gsd": gsd, "prior": {"gsd": coarse}}
        sites = 2 if quick else 8
        found: dict[str, list[np.ndarray]] = {}
        for path in simulate(
            folder / f"{gsd}_{coarse}", family="optical", style="mixed", config=config,
            sites=sites, seed=SEED,
        ):  # fmt: skip
            for key, error in _compare(open_scene(path), folder).items():
                found.setdefault(key, []).append(error)
        text = f"pixels of {gsd:g} m, prior of {coarse:g} m"
        claims += [
            Claim(f"RMSE, upsampled prior, {text}, {sites} places", _rms(found["prior"]), "m"),
            Claim("  RMSE, generate", _rms(found["result"]), "m"),
            at_most("  over the prior", _rms(found["result"]) / _rms(found["prior"]), "", goal),
            at_most(
                "  slope error over the prior's",
                _rms(found["result's slope"]) / _rms(found["prior's slope"]), "", 1.0,
            ),
        ]  # fmt: skip
    return claims


def _real(folder: Path) -> list[Claim]:
    """Real pairs, where $DEMIURGE_DATA has them: is the prior ever made worse?"""
    place = Path(os.environ.get("DEMIURGE_DATA", "")) / "pennsylvania_landsat7"
    if not place.is_dir():
        print("DEMIURGE_DATA names no folder with pennsylvania_landsat7: nothing real is measured")
        return []
    with rasterio.open(place / "dem.tif") as file:
        dem = file.read(1, masked=True).filled(np.nan).astype(np.float32)
        grid = GeoBox(dem.shape, file.transform, file.crs.to_wkt())
    claims = []
    for factor in (3, 6):
        rows, columns = (n // factor for n in dem.shape)
        blocks = dem[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
        step = grid.affine.a * factor
        coarse = folder / f"prior_{factor}.tif"
        write_planes(
            coarse, [blocks.mean(axis=(1, 3))], grid.crs.to_wkt(),
            from_origin(grid.affine.c, grid.affine.f, step, step),
        )  # fmt: skip
        files = name_inputs(
            [str(place / "rgb.tif"), f"truth_dtm={place / 'dem.tif'}", f"dem_prior={coarse}"]
        )
        scene = prepare(files, folder / f"penn_{factor}")
        found = _compare(scene, folder)
        ratio = _rms([found["result"]]) / _rms([found["prior"]])
        text = f"Pennsylvania, Landsat, prior of {30 * factor} m: over the prior"
        claims.append(at_most(text, ratio, "", 1.0))
    return claims


def _points() -> list[Claim]:
    """A surface of known scale, offset and tilt, fitted to points of which a tenth is wrong."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:500, :500]
    truth = 300 + 60 * np.sin(rows / 60) + 40 * np.cos(columns / 45)
    wide = np.sin(rows / 200 + columns / 260)
    u, v = np.linspace(-1, 1, 500), np.linspace(-1, 1, 500)
    surface = ((truth - 280 - 10 * u[None]) / 2.2 + wide).astype(np.float32)
    claims = []
    for count in (3, 10, 100, 1000):
        errors = []
        for _ in range(20):
            r, c = rng.uniform(5, 494, (2, count))
            z = sample(truth.astype(np.float32), r, c) + rng.normal(0, 0.5, count)
            wrong = rng.choice(count, count // 10, replace=False)
            z[wrong] += rng.choice([-1, 1], wrong.size) * rng.uniform(20, 200, wrong.size)
            at = 2 * (c + 0.5) / 500 - 1, 2 * (r + 0.5) / 500 - 1
            fit = fit_points(sample(surface, r, c), *at, z, scaled=True)
            errors.append(np.sqrt(np.mean((fit.apply(surface, u, v) - truth) ** 2)))
        text = f"RMSE on {count} points, a tenth of them wrong by 20 to 200 m"
        claims.append(Claim(text, float(np.median(errors)), "m"))
    return claims


def _large() -> list[Claim]:
    """Windows of relative heights, 21 in a row: how far apart, and how far off at the end?"""
    rng = np.random.default_rng(0)
    size, stride, step = 256, 192, 8
    rows, columns = np.mgrid[: size + stride, : 20 * stride + size]
    truth = 50 * np.sin(columns / 300) + 30 * np.cos(rows / 90 + columns / 500)
    places, samples, middles = {}, [], []
    for row in (0, stride):
        for column in range(0, 20 * stride + 1, stride):
            part = truth[row : row + size, column : column + size]
            bend = np.linspace(-1, 1, size)[None] * rng.normal(0, 1.0)
            lattice = [np.arange(-(-p // step) * step, p + size, step) for p in (row, column)]
            found = (part - part.mean() + bend)[
                np.ix_(lattice[0] - row, lattice[1] - column)
            ] + rng.normal(0, 0.5, (len(lattice[0]), len(lattice[1])))
            places[row, column] = len(samples)
            samples.append((*lattice, found.astype(np.float32)))
            middles.append(part.mean())
    pairs = pair_up(places, samples, size)
    still = np.ones(len(samples)), np.zeros(len(samples))
    _, offsets = solve(pairs, None, len(samples), scaled=False)
    true = np.array(middles) - np.mean(middles)
    drift = float(np.abs((offsets - offsets.mean()) - true).max())
    naive, ours = mismatch(pairs, *still), mismatch(pairs, still[0], offsets)
    return [
        Claim("disagreement of neighbours, as they are", naive, "m"),
        at_most("  brought to one level, over that", ours / naive, "", 0.2),
        Claim("largest error of a window's level over 20 windows, as they are",
              float(np.abs(true).max()), "m"),
        at_most("  brought to one level, over that", drift / float(np.abs(true).max()), "", 0.2),
    ]  # fmt: skip


if __name__ == "__main__":
    main(measure)
