"""The generate bundle (or $BUNDLE): over a prior, on GCPs, in large scenes; speed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import rasterio

from common import Claim, at_most, interleaved, main, median
from demiurge import Options, generate, open_scene, simulate
from demiurge.predict.heights.adjustment import Samples, find_overlaps
from demiurge.predict.heights.gcp import fit_gcps, sample_bilinear
from demiurge.predict.heights.solver import mismatch, solve
from demiurge.scene.scene import Scene

SEED = 6000
#: Name or file.
BUNDLE = os.environ.get("BUNDLE", "generate")


def measure(quick: bool) -> list[Claim]:
    """RMSE and slope error against the upsampled prior; GCPs; consistency; speed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [
            *_simulated(folder, quick),
            *_against_pix2pix(quick),
            *_points(),
            *_large(),
        ]


def _compare(scene: Scene, folder: Path) -> dict[str, np.ndarray]:
    """Return errors of heights and slopes of the prior and of the result."""
    prior, truth = scene.read(layers=["dem_prior", "truth_dtm"])
    inner = (slice(8, -8), slice(8, -8))
    off = float(np.sqrt(np.nanmean((prior - truth)[inner] ** 2)))
    heights = _made(scene, folder, off)
    without = _made(scene, folder, None)
    slopes = [np.hypot(*np.gradient(h, scene.pixel_size)) for h in (prior, heights, truth)]
    return {
        "prior": (prior - truth)[inner],
        "result": (heights - truth)[inner],
        "without accuracy": (without - truth)[inner],
        "prior's slope": (slopes[0] - slopes[2])[inner],
        "result's slope": (slopes[1] - slopes[2])[inner],
    }


def _made(scene: Scene, folder: Path, accuracy: float | None) -> np.ndarray:
    options = Options(overwrite=True, prior_accuracy=accuracy)
    generate(scene, folder / "out.tif", bundle=BUNDLE, options=options)
    with rasterio.open(folder / "out.tif") as file:
        return np.asarray(file.read(1))


def _rms(parts: list[np.ndarray]) -> float:
    every = np.concatenate([p[np.isfinite(p)] for p in parts]).astype(np.float64)
    return float(np.sqrt(np.square(every).mean()))


def _simulated(folder: Path, quick: bool) -> list[Claim]:
    claims = []
    for gsd, coarse, goal in ((10.0, 30.0, 1.0), (10.0, 90.0, 0.7), (30.0, 90.0, 1.0)):
        config = {"size": 256 if quick else 512, "gsd": gsd, "prior": {"gsd": coarse}}
        sites = 2 if quick else 8
        errors: dict[str, list[np.ndarray]] = {}
        for path in simulate(
            folder / f"{gsd}_{coarse}", family="optical", style="mixed", config=config,
            sites=sites, seed=SEED,
        ):  # fmt: skip
            for key, error in _compare(open_scene(path), folder).items():
                errors.setdefault(key, []).append(error)
        text = f"pixels of {gsd:g} m, prior of {coarse:g} m"
        claims += [
            Claim(f"RMSE, upsampled prior, {text}, {sites} places", _rms(errors["prior"]), "m"),
            Claim("  RMSE, generate, exact accuracy of the prior", _rms(errors["result"]), "m"),
            at_most("  over the prior", _rms(errors["result"]) / _rms(errors["prior"]), "", goal),
            Claim("  without the accuracy of the prior, over the prior",
                  _rms(errors["without accuracy"]) / _rms(errors["prior"]), ""),
            at_most(
                "  slope error over the prior's",
                _rms(errors["result's slope"]) / _rms(errors["prior's slope"]), "", 1.0,
            ),
        ]  # fmt: skip
    return claims


def _against_pix2pix(quick: bool) -> list[Claim]:
    """Network alone, per pixel: the shipped graph against that of pix2pix, same runtime."""
    import openvino as ov

    from demiurge.model.bundle import load_bundle
    from demiurge.model.export import to_onnx
    from demiurge.model.network import build_network
    from demiurge.training.recipe import load_recipe

    recipe = load_recipe("pix2pix")
    graphs = {
        "ours": (load_bundle(BUNDLE).graph(), load_bundle(BUNDLE).contract.channels),
        "pix2pix": (to_onnx(build_network(recipe.network, 6, 1), 6), 6),
    }
    core, works = ov.Core(), {}
    hint = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
    for name, (graph, channels) in graphs.items():
        model = core.read_model(graph)
        model.reshape([4, channels, 256, 256])
        compiled = core.compile_model(model, "CPU", hint)
        data = np.random.default_rng(0).standard_normal((4, channels, 256, 256), np.float32)
        works[name] = lambda compiled=compiled, data=data: compiled(data)
    times = {k: median(v) for k, v in interleaved(works, 3 if quick else 9).items()}
    ratio = times["pix2pix"] / times["ours"]
    return [Claim("pixels a second, network alone, over those of pix2pix's (f32)", ratio, "x")]


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
            z = sample_bilinear(truth.astype(np.float32), r, c) + rng.normal(0, 0.5, count)
            wrong = rng.choice(count, count // 10, replace=False)
            z[wrong] += rng.choice([-1, 1], wrong.size) * rng.uniform(20, 200, wrong.size)
            at = 2 * (c + 0.5) / 500 - 1, 2 * (r + 0.5) / 500 - 1
            fit = fit_gcps(sample_bilinear(surface, r, c), *at, z, scaled=True)
            errors.append(np.sqrt(np.mean((fit.apply(surface, u, v) - truth) ** 2)))
        text = f"RMSE on {count} points, a tenth of them wrong by 20 to 200 m"
        claims.append(Claim(text, float(np.median(errors)), "m"))
    return claims


def _large() -> list[Claim]:
    """Windows of relative heights, 21 in a row: their disagreement, and the error at the end."""
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
            bent = (part - part.mean() + bend)[
                np.ix_(lattice[0] - row, lattice[1] - column)
            ] + rng.normal(0, 0.5, (len(lattice[0]), len(lattice[1])))
            places[row, column] = len(samples)
            samples.append(Samples(*lattice, bent.astype(np.float32)))
            middles.append(part.mean())
    pairs = find_overlaps(places, samples, size)
    still = np.ones(len(samples)), np.zeros(len(samples))
    _, offsets = solve(pairs, None, len(samples))
    true = np.array(middles) - np.mean(middles)
    drift = float(np.abs((offsets - offsets.mean()) - true).max())
    naive, ours = mismatch(pairs, *still), mismatch(pairs, still[0], offsets)
    return [
        Claim("disagreement of neighbours, without adjustment", naive, "m"),
        at_most("  after block adjustment, over that", ours / naive, "", 0.2),
        Claim("largest error of a window's offset over 20 windows, without adjustment",
              float(np.abs(true).max()), "m"),
        at_most("  after block adjustment, over that", drift / float(np.abs(true).max()), "", 0.2),
    ]  # fmt: skip


if __name__ == "__main__":
    main(measure)
