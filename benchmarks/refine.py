"""The shipped refine bundle on held-out simulated places, compared with classical filters.

$BULLDOZER may name the command of CNES bulldozer, installed elsewhere; then it is a rival too.
$BASELINES may name bundles of the research codes' recipes, trained on the shipped bundles' scenes
with as many chips: demiurge train build/scenes/stereo/*/site_* --recipe deepdem --set epochs=40
--set chips.size=128 --set chips.per_epoch=1920 --set chips.batch=16 --set patience=null
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import rasterio

from common import Claim, at_most, main
from demiurge import Options, open_scene, refine, simulate
from demiurge.scene.scene import Scene
from rivals import grounds, surfaces
from tally import Reliability, Tally, classes

#: Far from the seeds of the training scenes.
SEED = 9000
INITIAL = "initial DSM, voids filled"
#: Bundles to compare with, by name.
BASELINES = {Path(p).stem: p for p in os.environ.get("BASELINES", "").split()}
#: Pixels that a class needs to count.
FEWEST = 20_000


def measure(quick: bool) -> list[Claim]:
    """MAE over all pixels of the truth; filters get voids filled smoothly."""
    sites, size = (5, 256) if quick else (20, 512)
    bundles = os.environ.get("BUNDLES", "refine").split()
    dsm, dtm, reliability, by_style = Tally(), Tally(), Reliability(), {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = {"size": size}
        for index, path in enumerate(
            simulate(folder / "s", style="mixed", config=config, sites=sites, seed=SEED)
        ):
            scene = open_scene(path)
            truth, earth = scene.read(layers=["truth_dsm", "truth_dtm"])
            tops, floors = surfaces(scene), grounds(scene)
            for bundle in bundles:
                bands = _refined(scene, folder / "out.tif", bundle)
                tops[bundle], floors[bundle] = bands["dsm"], bands["dtm"]
                if bundle == bundles[0]:
                    reliability.add(bands["dsm"] - truth, bands["dsm_uncertainty"])
            for name, baseline in BASELINES.items():
                tops[name] = _refined(scene, folder / "out.tif", baseline)["dsm"]
            where = classes(scene, truth)
            dsm.add(tops, truth, where)
            dtm.add(floors, earth, where)
            by_style.setdefault(_style(path), []).append(index)
        varied = _varied_cameras(folder / "v", bundles[0], sites, size)
    claims = []
    for bundle in bundles:
        claims += _surface(dsm, bundle, bundles, by_style)
        claims += _earth(dtm, bundle, bundles)
    return claims + _reliability(reliability) + varied


def _varied_cameras(folder: Path, bundle: str, sites: int, size: int) -> list[Claim]:
    """Coverage of the 90 % interval where cameras, sensors and pixel sizes vary too."""
    pooled, alone = Reliability(), []
    for path in simulate(
        folder, style="mixed", vary=True, config={"size": size}, sites=sites, seed=SEED + 1
    ):
        scene = open_scene(path)
        (truth,) = scene.read(layers=["truth_dsm"])
        bands = _refined(scene, folder / "out.tif", bundle)
        own = Reliability()
        for reliability in (pooled, own):
            reliability.add(bands["dsm"] - truth, bands["dsm_uncertainty"])
        alone.append(own.coverage(0.9))
    inside = pooled.coverage(0.9)
    return [
        Claim(
            "varied cameras: 90 % interval, 0.88 to 0.92", inside, "", "", 0.88 <= inside <= 0.92
        ),
        Claim("  worst place", min(alone), ""),
        Claim("  median place", float(np.median(alone)), ""),
    ]


def _refined(scene: Scene, out: Path, bundle: str) -> dict[str, np.ndarray]:
    refine(scene, out, bundle=bundle, options=Options(overwrite=True, any_input=True))
    with rasterio.open(out) as file:
        return dict(zip(file.descriptions, file.read(), strict=True))


def _surface(
    tally: Tally, bundle: str, bundles: list[str], by_style: dict[str, list[int]]
) -> list[Claim]:
    names = [n for n in tally.samples if n not in bundles and n not in BASELINES]
    count = f"{len(tally.places)} places"
    claims = []
    if bundle == bundles[0]:
        claims += [Claim(f"MAE, {n}, {count}", tally.mae(n), "m") for n in names]
        claims += [Claim(f"NMAD, {n}", tally.nmad(n), "m") for n in names[:1]]
    best = min(names, key=tally.mae)
    ratio = tally.mae(bundle) / tally.mae(INITIAL)
    low, high = tally.interval(bundle, INITIAL, "all")
    claims += [
        Claim(f"MAE, {bundle}", tally.mae(bundle), "m"),
        Claim(f"NMAD, {bundle}", tally.nmad(bundle), "m"),
        at_most(f"{bundle}: over its input", ratio, "", 0.5),
        Claim("  95 % interval over places, low", low, ""),
        Claim("  95 % interval over places, high", high, ""),
        at_most(f"  over the best filter ({best})", tally.mae(bundle) / tally.mae(best), "", 0.8),
    ]
    for name in BASELINES:
        low, high = tally.interval(bundle, name, "all")
        claims += [
            Claim(f"  MAE, {name}", tally.mae(name), "m"),
            at_most(f"  over {name} (95 %: {low:.2f} to {high:.2f})",
                    tally.mae(bundle) / tally.mae(name), "", 0.85),
        ]  # fmt: skip
    for kind in _kinds(tally):
        ratio = tally.mae(bundle, kind) / tally.mae(INITIAL, kind)
        _, high = tally.interval(bundle, INITIAL, kind)
        claims.append(at_most(f"  over its input, {kind} (95 %: at most {high:.2f})", ratio, "", 1))
    for style, picks in by_style.items():
        ratio = tally.mae(bundle, "all", picks) / tally.mae(INITIAL, "all", picks)
        claims.append(at_most(f"  over its input, style {style}", ratio, "", 1.0))
    return claims


def _kinds(tally: Tally) -> list[str]:
    kinds = dict.fromkeys(kind for place in tally.places for _, kind in place if kind != "all")
    return [kind for kind in kinds if tally.pixels(kind) >= FEWEST]


def _earth(tally: Tally, bundle: str, bundles: list[str]) -> list[Claim]:
    names = [n for n in tally.samples if n not in bundles]
    claims = []
    for kind in ("all", "trees", "buildings"):
        if tally.pixels(kind) < FEWEST:
            continue
        if bundle == bundles[0]:
            claims += [Claim(f"ground RMSE, {kind}, {n}", tally.rmse(n, kind), "m") for n in names]
        ours = tally.rmse(bundle, kind)
        claims.append(Claim(f"ground RMSE, {kind}, {bundle}", ours, "m"))
        goals = dict.fromkeys(names[1:], 1.0) | {names[0]: 1.0 if kind == "all" else 0.6}
        for name, goal in goals.items():
            low, high = tally.interval(bundle, name, kind, "rmse")
            text = f"  over {name} (95 %: {low:.2f} to {high:.2f})"
            claims.append(at_most(text, ours / tally.rmse(name, kind), "", goal))
    return claims


def _reliability(reliability: Reliability) -> list[Claim]:
    claims = [
        Claim(f"share of errors within the {level:.0%} interval", reliability.coverage(level), "")
        for level in reliability.LEVELS
    ]
    inside = reliability.coverage(0.9)
    claims.append(Claim("  90 % interval: 0.88 to 0.92", inside, "", "", 0.88 <= inside <= 0.92))
    predicted, best = reliability.sparsification()
    return [
        *claims,
        at_most("MAE of the half with the lowest uncertainty over that of all", predicted, "", 0.7),
        Claim("  with the true errors", best, ""),
    ]


def _style(folder: Path) -> str:
    import yaml

    style: str = yaml.safe_load((folder / "simulation.yaml").read_text())["style"]
    return style


if __name__ == "__main__":
    main(measure)
