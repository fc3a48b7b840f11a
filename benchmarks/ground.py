"""Bare earth of `refine` against rule-based tools, by place.

The places are the real lidar surfaces in the folder of real rasters ($DEMIURGE_DATA, or
../shared/data) as clean DSMs alone, simulated stereo over some of them with all layers, and real
WorldView-3 stereo. Everything computed is kept in the folder $GROUND_CACHE, a temporary one if not
set. $DSM2DTM names a Python with dsm2dtm, $BULLDOZER the command of CNES bulldozer.

A rule "on the refined" takes the DSM of `refine` instead of the input. Ratios are RMSE over that
of the better of the two tools on the input, per place.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

from common import data_folder, read_heights
from demiurge import Options, open_scene, refine, simulate
from demiurge.raster.voids import fill_voids
from demiurge.scene.scene import Scene
from identity import OTHERS
from real_stereo import RIM, takes
from rivals import bulldozer_of, dsm2dtm_of

Array = np.ndarray

#: Simulated stereo: one acquisition of each, all layers.
SIMULATED = (
    "queenstown", "holland_ahn", "delft", "adelaide", "auckland_suburb", "auckland_cbd",
    "auckland_freemans", "hawaii_forest", "tararua_forest", "bc_forest", "tahoe_forest",
    "quebec_forest", "mcdonald_forest", "atlantic_forest",
)  # fmt: skip
#: Places on which the shipped bundle was not trained, in addition to all real stereo.
HELD_OUT = (
    "adelaide", "auckland_freemans", "seville_cathedral", "gothenburg", "vienna_boku",
    "osbs_pine", "bc_forest", "tahoe_forest", "quebec_forest", "mcdonald_forest",
    "atlantic_forest", "tararua_forest", "teakettle_plots",
)  # fmt: skip
#: Side of the central part of a clean surface, and of a simulated scene, in pixels.
MIDDLE, SIDE = 512, 384
TOOLS: dict[str, Callable[[Path], Array | None]] = {
    "dsm2dtm": dsm2dtm_of,
    "bulldozer": bulldozer_of,
}


@dataclass(frozen=True)
class Case:
    """A DSM, its bare earth, and the results of `refine` on it.

    Attributes
    ----------
    folder
        Cache of the case.
    earth
        float32 (rows, columns): the true bare earth in metres, NaN where it is not compared.
    """

    name: str
    kind: str
    folder: Path
    earth: Array
    gsd: float

    @property
    def surface(self) -> Array:
        """Return the input DSM, NaN for voids."""
        return read_heights(self.folder / "dsm.tif")

    def refined(self) -> dict[str, Array]:
        """Return the bands of `refine` by name."""
        with rasterio.open(self.folder / "refined.tif") as file:
            planes = file.read(masked=True).filled(np.nan)
            return dict(zip(file.descriptions, planes, strict=True))

    def tool(self, name: str, *, on_refined: bool = False) -> Array | None:
        """Return the bare earth of a tool, voids filled, or None where it fails."""
        kept = self.folder / f"{name}{'_refined' if on_refined else ''}.npy"
        if not kept.exists():
            source = self.folder / "dsm.tif"
            if on_refined:
                source = self.folder / "refined_dsm.tif"
                written(source, self.refined()["dsm"], self.gsd)
            ground = TOOLS[name](source)
            np.save(kept, np.zeros(0) if ground is None else fill_voids(ground))
        ground = np.load(kept)
        return ground if ground.size else None


def written(path: Path, heights: Array, gsd: float) -> None:
    """Write heights on a UTM grid: some surfaces have local grids without a known CRS."""
    with rasterio.open(
        path, "w", driver="GTiff", width=heights.shape[1], height=heights.shape[0], count=1,
        dtype="float32", crs="EPSG:32633", nodata=-9999.0,
        transform=rasterio.transform.from_origin(500000, 5000000, gsd, gsd),
    ) as file:  # fmt: skip
        file.write(np.nan_to_num(heights, nan=-9999.0).astype(np.float32), 1)


def cases(data: Path, cache: Path) -> Iterator[Case]:
    """Yield every case; what it needs is computed on first use."""
    for name, (take, place) in takes(data).items():
        yield _stereo(name, take, place, cache / "real" / name)
    folders = [*sorted((data / "surfaces").iterdir()), *(data / name for name in OTHERS)]
    for folder in folders:
        if (folder / "dtm.tif").is_file():
            case = _clean(folder, cache / "clean" / folder.name)
            if case is not None:
                yield case
    for name in SIMULATED:
        yield _simulated(data / "surfaces" / name, cache / "simulated" / name)


def _refine(folder: Path, source: Path | Scene, **inputs: Path) -> None:
    out = folder / "refined.tif"
    if not out.exists():
        options = Options(any_pixel_size=True, any_input=True)
        refine(source, out, options=options, **inputs)


def _stereo(name: str, take: Path, place: Path, folder: Path) -> Case:
    folder.mkdir(parents=True, exist_ok=True)
    initial = read_heights(take / "dsm.tif")
    with rasterio.open(take / "dsm.tif") as file:
        gsd = file.res[0]
    if not (folder / "dsm.tif").exists():
        written(folder / "dsm.tif", initial, gsd)
    _refine(folder, take / "dsm.tif", left=take / "left.tif", right=take / "right.tif")
    earth, truth = (read_heights(place / f"truth_{n}.tif") for n in ("dtm", "dsm"))
    compared = np.full_like(earth, np.nan)
    inner = (slice(RIM, -RIM), slice(RIM, -RIM))
    compared[inner] = np.where(np.isfinite(truth), earth, np.nan)[inner]
    return Case(name, "real stereo", folder, compared, gsd)


def _clean(place: Path, folder: Path) -> Case | None:
    with rasterio.open(place / "dsm.tif") as file:
        gsd = file.res[0]
    if gsd > 2:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    given, earth = (_middle(read_heights(place / f"{n}.tif")) for n in ("dsm", "dtm"))
    if not (folder / "dsm.tif").exists():
        written(folder / "dsm.tif", given, gsd)
    _refine(folder, folder / "dsm.tif")
    return Case(place.name, "clean", folder, np.where(np.isfinite(given), earth, np.nan), gsd)


def _middle(plane: Array) -> Array:
    rows, columns = (max((n - MIDDLE) // 2, 0) for n in plane.shape)
    return plane[rows : rows + MIDDLE, columns : columns + MIDDLE]


def _simulated(place: Path, folder: Path) -> Case:
    folder.mkdir(parents=True, exist_ok=True)
    with rasterio.open(place / "dsm.tif") as file:
        side = min(SIDE, min(file.shape) // 32 * 32 - 32)
    path = folder / "scene"
    if not (folder / "refined.tif").exists():
        albedo = next((f for n in ("rgb", "grey") if (f := place / f"{n}.tif").is_file()), None)
        files = {"surface": place / "dsm.tif", "terrain": place / "dtm.tif"}
        if albedo is not None:
            files["albedo"] = albedo
        scenes = simulate(path, **files, config={"size": side}, vary=True, sites=1, seed=5)
        _refine(folder, open_scene(scenes[0]))
        scene = open_scene(scenes[0])
        initial, earth, truth = scene.read(layers=["dsm", "truth_dtm", "truth_dsm"])
        written(folder / "dsm.tif", initial, scene.pixel_size)
        written(folder / "earth.tif", np.where(np.isfinite(truth), earth, np.nan), scene.pixel_size)
    with rasterio.open(folder / "dsm.tif") as file:
        gsd = file.res[0]
    return Case(place.name, "simulated", folder, read_heights(folder / "earth.tif"), gsd)


def rmse(ground: Array, earth: Array) -> float:
    """Return the RMSE where both are known."""
    error = (ground - earth)[np.isfinite(earth) & np.isfinite(ground)]
    return float(np.sqrt(np.square(error, dtype=np.float64).mean()))


def row_of(case: Case) -> dict[str, float]:
    """Return the RMSE of `refine`, and of each tool on the input and on the refined DSM."""
    row = {"refine": rmse(case.refined()["dtm"], case.earth)}
    for name in TOOLS:
        for refined in (False, True):
            ground = case.tool(name, on_refined=refined)
            key = f"{name}, refined" if refined else name
            row[key] = float("nan") if ground is None else rmse(ground, case.earth)
    return row


def summary(rows: list[dict[str, float]]) -> str:
    """Return mean RMSE, mean ratio to the better tool per place, and the places above 1.05."""
    best = [np.nanmin([row[name] for name in TOOLS]) for row in rows]
    ratios = np.array([row["refine"] / value for row, value in zip(rows, best, strict=True)])
    mean = np.mean([row["refine"] for row in rows])
    return (
        f"{len(rows)} places: RMSE {mean:.2f} m, better tool {np.mean(best):.2f} m, "
        f"mean ratio {ratios.mean():.2f}, {(ratios > 1.05).sum()} above 1.05"
    )


def main() -> None:
    """Print a row for each place, and a summary for each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="JSON file for the rows")
    arguments = parser.parse_args()
    table: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        for case in cases(data_folder(), Path(os.environ.get("GROUND_CACHE", name))):
            row = table.setdefault(case.kind, {})[case.name] = row_of(case)
            print(case.kind, case.name, {k: round(v, 2) for k, v in row.items()}, flush=True)
    for kind, rows in table.items():
        print(f"{kind}: {summary(list(rows.values()))}")
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
