"""The two verbs, refine and generate: from files or a scene to a surface."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from demiurge._version import __version__
from demiurge.errors import DataError, UsageError
from demiurge.model.bundle import Bundle, Task, default_bundle, load_bundle
from demiurge.outputs import check_output
from demiurge.predict.engine import predict_rows
from demiurge.predict.plan import plan_windows
from demiurge.predict.runtime import OpenVinoRuntime, choose_precision
from demiurge.predict.surface import BandInfo, Surface, write_surface
from demiurge.progress import progress
from demiurge.scene.check import require_fit
from demiurge.scene.grid import Window
from demiurge.scene.open import PathLike, open_scene, recognise_bands, scene_from_files
from demiurge.scene.scene import Scene

Array = npt.NDArray[np.float32]
Target = Literal["dsm", "dtm", "both"]

_ABOUT = {"dsm": "surface height", "dtm": "bare-earth height"}
_OPTIONS = {
    "ortho_left": "--left",
    "ortho_right": "--right",
    "triangulation_error": "--triangulation-error",
    "ndvi": "--ndvi",
    "dem_prior": "--prior",
}


@dataclass(frozen=True)
class Options:
    """How a bundle is applied.

    Attributes
    ----------
    target
        Which heights to write; None for all that the bundle predicts.
    window, overlap
        Side of a window in pixels and share that neighbours have in common; the bundle's if None.
    in_flight
        Windows worked on at a time; does not change the result.
    precision
        ``f32``, ``bf16``, or ``auto`` for what the bundle was checked for.
    keep_voids
        Leave voids of the initial heights void.
    any_pixel_size
        Go on where the pixel size is outside the bundle's range.
    """

    target: Target | None = None
    window: int | None = None
    overlap: float | None = None
    in_flight: int = 4
    precision: Literal["auto", "f32", "bf16"] = "auto"
    keep_voids: bool = False
    any_pixel_size: bool = False
    overwrite: bool = False
    quiet: bool = True


@dataclass
class _Tally:
    """What is counted while rows pass by."""

    pixels: int = 0
    unknown: int = 0
    uncertainty: float = 0.0
    filled: int = 0

    @property
    def known(self) -> int:
        """Return the pixels with a height."""
        return self.pixels - self.unknown


def refine(
    dsm: PathLike | Scene,
    output: PathLike,
    *,
    left: PathLike | None = None,
    right: PathLike | None = None,
    triangulation_error: PathLike | None = None,
    ndvi: PathLike | None = None,
    bundle: PathLike | Bundle | None = None,
    options: Options | None = None,
) -> Surface:
    """Make a better DSM, DTM or both from an initial stereo DSM and what came with it.

    Parameters
    ----------
    dsm
        A DSM raster in metres, a scene folder, or an opened scene.
    output
        GeoTIFF to write, on the DSM's own grid where that is north-up in metres.
    left, right, triangulation_error, ndvi
        Rasters that go with a DSM raster; warped to its grid where they lie otherwise.
    bundle
        A bundle, its file or the name of a shipped one; the shipped ``refine`` if None.

    Returns
    -------
    The written surface. Heights are in metres above what the DSM's heights are above.

    Raises
    ------
    UsageError, ResourceError, DataError
        One sentence each for options, files and data that do not fit.
    """
    extra = {
        "ortho_left": left,
        "ortho_right": right,
        "triangulation_error": triangulation_error,
        "ndvi": ndvi,
    }
    files = {name: path for name, path in extra.items() if path is not None}
    chosen = load_bundle(bundle) if bundle is not None else default_bundle("refine")
    scene = _scene_of(dsm, "dsm", files)
    return apply_bundle(scene, chosen, "refine", output, options or Options())


def generate(
    image: PathLike | Scene,
    output: PathLike,
    *,
    prior: PathLike | None = None,
    bands: Mapping[str, int] | None = None,
    bundle: PathLike | Bundle | None = None,
    options: Options | None = None,
) -> Surface:
    """Make an elevation surface from one image.

    Parameters
    ----------
    image
        A raster whose bands are recognised by description or colour, a scene folder, or a scene.
    output
        GeoTIFF to write, on the image's own grid where that is north-up in metres.
    prior
        A coarse elevation model in metres; the result then has its vertical reference.
    bands
        Layer name to band number, where the bands are not recognised.
    bundle
        A bundle, its file or the name of a shipped one; the shipped ``generate`` if None.

    Returns
    -------
    The written surface. Its heights are in metres; those of a bundle that learned relative
    heights are tagged ``units: relative``.
    """
    chosen = load_bundle(bundle) if bundle is not None else default_bundle("generate")
    if isinstance(image, Scene) or _is_scene(image):
        scene = _scene_of(image, "", {} if prior is None else {"dem_prior": prior})
    else:
        path = str(image)
        found = {n: f"{path}:{b}" for n, b in bands.items()} if bands else recognise_bands(path)
        files: dict[str, PathLike] = {n: f for n, f in found.items() if n in chosen.contract.names}
        if not files:
            raise UsageError(
                f"{path}: has none of the layers that bundle '{chosen.card.name}' sees "
                f"({', '.join(chosen.contract.names)})",
                "name its bands with --bands red=1,green=2,blue=3",
            )
        if prior is not None:
            files["dem_prior"] = prior
        scene = scene_from_files(files, name=Path(path).stem)
    return apply_bundle(scene, chosen, "generate", output, options or Options())


def _is_scene(place: PathLike) -> bool:
    path = Path(place)
    return path.is_dir() or path.suffix.lower() in (".yaml", ".yml")


def _scene_of(place: PathLike | Scene, role: str, files: Mapping[str, PathLike]) -> Scene:
    if not isinstance(place, Scene) and not _is_scene(place):
        return scene_from_files({role: place, **files}, name=Path(place).stem)
    if files:
        given = ", ".join(_OPTIONS[name] for name in files)
        raise UsageError(
            f"{given} cannot be added to a scene", "prepare the scene with it, or give plain files"
        )
    return place if isinstance(place, Scene) else open_scene(place)


def apply_bundle(
    scene: Scene, bundle: Bundle, task: Task, output: PathLike, options: Options
) -> Surface:
    """Apply a bundle to a scene and write the surface."""
    path = Path(os.fspath(output))
    check_output(path, overwrite=options.overwrite)
    targets = _targets(bundle, options.target)
    bands = _bands(bundle, targets)
    warnings = _require_match(scene, bundle, task, options)
    if bundle.contract.equalise:
        scene = scene.with_equalised()
    window = options.window or bundle.card.window.size
    overlap = bundle.card.window.overlap if options.overlap is None else options.overlap
    plan = plan_windows(scene.shape, window, overlap)
    start = time.monotonic()
    runtime = OpenVinoRuntime(bundle, plan.size, choose_precision(bundle, options.precision))
    tally = _Tally()
    total = plan.count * plan.size**2 / 1e6
    with progress(task, total, quiet=options.quiet, unit="Mpx of windows") as advance:
        rows = predict_rows(
            scene,
            bundle.contract,
            runtime,
            plan,
            in_flight=options.in_flight,
            keep_voids=options.keep_voids,
            advance=advance,
        )
        write_surface(
            path,
            scene.grid,
            bands,
            _counted(rows, _order(bundle, targets), scene, bundle, tally),
            _tags(scene, bundle, runtime.about, plan.size, plan.overlap),
            overwrite=options.overwrite,
        )
    return Surface(
        path=path,
        grid=scene.grid,
        bands=tuple(band.name for band in bands),
        seconds=time.monotonic() - start,
        filled=tally.filled,
        unknown=tally.unknown / max(tally.pixels, 1),
        uncertainty=_mean_uncertainty(bundle, tally),
        notes=(*scene.notes, *warnings),
    )


def _mean_uncertainty(bundle: Bundle, tally: _Tally) -> float:
    if not bundle.contract.uncertainty or not tally.known:
        return float("nan")
    return tally.uncertainty / tally.known


def _targets(bundle: Bundle, wanted: Target | None) -> list[str]:
    have: list[str] = list(bundle.contract.targets)
    need: list[str] = ["dsm", "dtm"] if wanted == "both" else [wanted] if wanted else have
    missing = [target for target in need if target not in have]
    if missing:
        raise UsageError(
            f"bundle '{bundle.card.name}' predicts no {missing[0]}",
            f"choose --target {' or '.join(have)}, or another bundle",
        )
    return need


def _require_match(scene: Scene, bundle: Bundle, task: Task, options: Options) -> tuple[str, ...]:
    """Raise unless scene and bundle go together; return warnings about the scene."""
    card = bundle.card
    if card.task != task:
        raise UsageError(
            f"bundle '{card.name}' was trained to {card.task}", f"use: demiurge {card.task}"
        )
    missing = [name for name in bundle.contract.required if name not in scene.layers]
    if missing:
        option = _OPTIONS.get(missing[0])
        cure = f"give it with {option}" if option else f"it sees {', '.join(bundle.contract.names)}"
        raise UsageError(f"bundle '{card.name}' needs layer '{missing[0]}'", cure)
    sizes = card.pixel_sizes
    if not sizes.fits(scene.pixel_size) and not options.any_pixel_size:
        raise DataError(
            f"{scene.name}: its pixel size of {scene.pixel_size:g} m is outside what bundle "
            f"'{card.name}' has seen ({sizes.low:g} to {sizes.high:g} m)",
            "resample it, choose another bundle, or add --any-pixel-size",
        )
    seen = bundle.contract.names
    raw = [n for n in seen if n in scene.equalised and not bundle.contract.equalise]
    if raw:
        raise DataError(
            f"scene '{scene.name}' has an equalised '{raw[0]}', which bundle '{card.name}' learned "
            "without",
            "prepare it with --no-equalise, or give plain files",
        )
    unused = [n for n in scene.sources if n in _OPTIONS and n not in seen]
    notes = [f"{n} is not used: bundle '{card.name}' does not see it" for n in unused]
    needed = tuple(name for name in seen if name in scene.layers)
    return (*notes, *(f"{f.layer}: {f.message}" for f in require_fit(scene, needed)))


def _order(bundle: Bundle, targets: list[str]) -> list[int]:
    """Return which of the engine's planes go into the file, heights and uncertainty in turn."""
    contract = bundle.contract
    order: list[int] = []
    have: list[str] = list(contract.targets)
    for target in targets:
        place = have.index(target)
        order.append(place)
        if contract.uncertainty:
            order.append(len(contract.targets) + place)
    return order


def _bands(bundle: Bundle, targets: list[str]) -> list[BandInfo]:
    relative = bundle.contract.relative
    unit = "relative" if relative else "m"
    bands = []
    for target in targets:
        name = f"{target}_relative" if relative else target
        bands.append(BandInfo(name, unit, _ABOUT[target]))
        if bundle.contract.uncertainty:
            about = "standard deviation of the predicted error distribution"
            bands.append(BandInfo(f"{name}_uncertainty", unit, about))
    return bands


def _tags(scene: Scene, bundle: Bundle, runtime: str, window: int, overlap: int) -> dict[str, str]:
    inputs = {name: Path(source.path).name for name, source in scene.sources.items()}
    used = [f"{n}={f}" for n, f in inputs.items() if n in bundle.contract.names]
    return {
        "AREA_OR_POINT": "Area",
        "software": f"demiurge {__version__}",
        "bundle": bundle.card.name,
        "bundle_graph_sha256": bundle.card.sha256.get("graph.onnx", ""),
        "inputs": ", ".join(used),
        "units": "relative" if bundle.contract.relative else "metre",
        "vertical_reference": "none" if bundle.contract.relative else str(scene.vertical),
        "runtime": runtime,
        "window": f"{window} px, overlap {overlap} px",
    }


def _counted(
    rows: Iterator[Array], order: list[int], scene: Scene, bundle: Bundle, tally: _Tally
) -> Iterator[Array]:
    """Pass rows on in the file's order, counting as they go."""
    top = 0
    base = bundle.contract.base
    for part in rows:
        out = part[order]
        known = np.isfinite(out[0])
        tally.pixels += known.size
        tally.unknown += int(known.size - known.sum())
        if base is not None and part.shape[1]:
            window = Window(top, 0, part.shape[1], scene.shape[1])
            initial = scene.read(window, [base])[0]
            tally.filled += int((known & np.isnan(initial)).sum())
        if bundle.contract.uncertainty:
            tally.uncertainty += float(out[1][known].sum(dtype=np.float64))
        top += part.shape[1]
        yield out
