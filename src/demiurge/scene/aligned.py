"""Co-registration of a scene's pair with a reference: one translation for all its layers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array, Mask
from demiurge.errors import DataError, UsageError
from demiurge.layers import PRIOR, Kind, Role, layer
from demiurge.paths import PathLike, split_band
from demiurge.raster.registration import translation
from demiurge.raster.terrain import gradient, slope
from demiurge.scene.check import MAX_OFFSET
from demiurge.scene.geoid import VerticalChange
from demiurge.scene.grid import Window, full_window, pixel_size
from demiurge.scene.nuth_kaab import Shift, fit_shift
from demiurge.scene.referenced import with_references
from demiurge.scene.scene import Scene
from demiurge.scene.source import Source
from demiurge.scene.spec import REFERENCE, AlignmentSpec, HeightTransformation, Vertical
from demiurge.scene.vertical import agree

#: Largest side in pixels of the comparison; larger scenes are thinned.
_MOST = 3000
#: Least number of stable pixels, and least share of them that is steeper than ``_GENTLE`` degrees.
_FEWEST, _SLOPING, _GENTLE = 2000, 0.02, 3.0
#: Steepest stable ground in degrees, and largest NDVI: steeper are cliffs and walls, above is
#: vegetation.
_STEEPEST, _GREEN = 45.0, 0.4
#: Largest horizontal translation in pixels, and in metres for coarse pixels.
_FARTHEST = 50
#: Multiple of the NMAD beyond which a difference is that of an object or a blunder.
_OUTLYING = 3.0
_NMAD = 1.4826
#: Correlation of the heights above which their displacement is where the fit starts.
_CORRELATED = 0.2
#: Standard deviation in pixels of the smoothing before relief is judged.
_SMOOTHING = 3.0
#: Least ratio of the slopes in the weakest and in the strongest direction (root mean squares).
_ONE_WAY = 0.1
_CURE = "align it with other tools first, or leave out --align"


@dataclass(frozen=True)
class PairAlignment:
    """Translation of a pair, and how well it fits.

    Attributes
    ----------
    shift
        Metres east, north and up.
    before, after
        NMAD of the differences to the reference on stable ground in metres.
    count
        Number of stable pixels.
    """

    shift: Shift
    before: float
    after: float
    count: int

    def spec(self) -> AlignmentSpec:
        """Return the entry in ``scene.yaml``."""
        s = self.shift
        return AlignmentSpec(
            east=round(s.east, 4), north=round(s.north, 4), up=round(s.up, 4),
            nmad_before=round(self.before, 4), nmad_after=round(self.after, 4), pixels=self.count,
        )  # fmt: skip

    def __str__(self) -> str:
        s = self.shift
        return (
            f"the pair was moved by {s.east:+.2f} m east, {s.north:+.2f} m north, "
            f"{s.up:+.2f} m up; NMAD on {self.count} stable pixels {self.before:.2f} m before, "
            f"{self.after:.2f} m after"
        )


@dataclass(frozen=True)
class AlignedLayer(Source):
    """A layer moved by a translation; ``up`` is added to its values.

    Attributes
    ----------
    inner
        The layer at its original place.
    shift
        Metres east and north, in the CRS of the scene; ``up`` is 0 for layers other than heights.
    """

    inner: Source = field(kw_only=True)
    shift: Shift = field(kw_only=True)

    @property
    def vertical(self) -> Vertical:
        """Return the vertical reference of the layer."""
        return self.inner.vertical

    @property
    def transformation(self) -> HeightTransformation | None:
        """Return how the heights are transformed; None if they are not."""
        return self.inner.transformation

    @property
    def variant(self) -> tuple[str, ...]:
        """Return what the values depend on in addition to file and grid."""
        return (*self.inner.variant, str(self.shift))

    def read(self, grid: GeoBox, window: Window, step: int = 1) -> Array:
        """Read a window as :meth:`Source.read` does, at the place of the moved layer."""
        data = self.inner.read(_moved(grid, self.shift, back=True), window, step)
        return data + np.float32(self.shift.up) if self.shift.up else data

    def read_reduced(self, grid: GeoBox) -> Array:
        """Read a small grid as :meth:`Source.read_reduced` does."""
        data = self.inner.read_reduced(_moved(grid, self.shift, back=True))
        return data + np.float32(self.shift.up) if self.shift.up else data


def align_pair(
    scene: Scene,
    reference: PathLike,
    stable: PathLike | None,
    change: VerticalChange,
    *,
    keep_grid: bool,
) -> tuple[Scene, PairAlignment]:
    """Move DSM, images and the other layers of a pair onto a reference.

    Layers of the truth, the prior and land cover stay. Source: Nuth and Kääb (2011), doi
    10.5194/tc-5-271-2011.

    Parameters
    ----------
    reference
        Raster of reference heights in metres.
    stable
        Raster that is above 0 on stable ground; None uses slopes, NDVI and the differences.
    change
        Vertical references of the scene; that of the reference is declared as ``reference``.
        The reference is transformed as the scene is.
    keep_grid
        Resample the pair to the grid of the scene. Otherwise the grid moves with the pair, whose
        pixels keep their values.

    Raises
    ------
    UsageError, ResourceError, DataError
        If there is no DSM, xdem is missing, or the translation is unreliable.
    """
    base = scene.sources.get("dsm")
    if base is None:
        raise UsageError("--align moves a DSM, and there is none", "give dsm=FILE")
    path, band = split_band(str(reference))
    truth = Source.open(path, layer("truth_dsm"), band, role="align")
    if change.given:
        declared = {n: text for n, text in (change.declared or {}).items() if n == REFERENCE}
        own = replace(change, declared=declared)
        truth = with_references({REFERENCE: truth}, scene.grid, own)[0][REFERENCE]
    verticals = {base.path: base.vertical, truth.path: truth.vertical}
    agree(verticals)
    result = _fit(scene, base, truth, stable)
    _require_level(verticals, result.shift.up)
    moved = {
        name: _aligned(source, result.shift) if _of_pair(name) else source
        for name, source in scene.sources.items()
    }
    grid = scene.grid if keep_grid else _moved(scene.grid, result.shift)
    notes = (*scene.notes, str(result))
    return replace(scene, sources=moved, grid=grid, notes=notes), result


def _of_pair(name: str) -> bool:
    return layer(name).role is Role.INPUT and name != PRIOR


def _aligned(source: Source, shift: Shift) -> AlignedLayer:
    up = shift.up if source.layer.kind is Kind.HEIGHT else 0.0
    return AlignedLayer(
        source.path, source.band, source.layer, source.grid, source.undeclared,
        source.detect_nodata, source.role, source.remarks, source.dirty, source.native,
        source.vector, inner=source, shift=replace(shift, up=up),
    )  # fmt: skip


def _moved(grid: GeoBox, shift: Shift, *, back: bool = False) -> GeoBox:
    sign = -1 if back else 1
    move = Affine.translation(sign * shift.east, sign * shift.north)
    return GeoBox(grid.shape, move * grid.affine, grid.crs)


def _fit(scene: Scene, base: Source, truth: Source, stable: PathLike | None) -> PairAlignment:
    step = max(1, math.ceil(max(scene.shape) / _MOST))
    grid = scene.grid.zoom_to(tuple(-(-n // step) for n in scene.shape))  # type: ignore[arg-type]
    window = full_window(grid)
    heights, wanted = base.read(grid, window), truth.read(grid, window)
    ground = _stable(scene, grid, wanted, stable)
    known = ground & np.isfinite(heights) & np.isfinite(wanted)
    _require_relief(base.path, known, wanted, grid)
    start = _start(heights, np.where(ground, wanted, np.nan), grid)
    near = base.read(_moved(grid, start, back=True), window)
    kept = _usual(near - wanted, ground & np.isfinite(near) & np.isfinite(wanted))
    fitted = fit_shift(base.path, near, wanted, kept, grid, _CURE)
    first = Shift(start.east + fitted.east, start.north + fitted.north, fitted.up)
    near = base.read(_moved(grid, first, back=True), window) + np.float32(first.up)
    kept = _usual(near - wanted, known & np.isfinite(near))
    again = fit_shift(base.path, near, wanted, kept, grid, _CURE)
    total = Shift(first.east + again.east, first.north + again.north, first.up + again.up)
    after = base.read(_moved(grid, total, back=True), window) + np.float32(total.up) - wanted
    result = PairAlignment(
        total, _spread(heights - wanted, known), _spread(after, known), int(known.sum())
    )
    _require_reliable(base.path, result, again, grid)
    return result


def _start(heights: Array, wanted: Array, grid: GeoBox) -> Shift:
    """Return the shift by which heights and reference correlate best; none if they hardly do.

    The method of Nuth and Kääb converges from about the width of a slope; walls are a pixel wide.
    """
    found = translation(_without_spikes(wanted), _without_spikes(heights), _FARTHEST)
    if found is None or found.correlation < _CORRELATED:
        return Shift(0.0, 0.0, 0.0)
    gsd = pixel_size(grid)
    return Shift(-found.col * gsd, found.row * gsd, 0.0)


def _without_spikes(heights: Array) -> Array:
    """Return the median of 3 × 3 pixels, in which single blunders have no weight."""
    from scipy.ndimage import median_filter

    known = np.isfinite(heights)
    if not known.any():
        return heights
    filled = np.where(known, heights, np.median(heights[known])).astype(np.float32)
    return np.asarray(np.where(known, median_filter(filled, 3), np.nan), np.float32)


def _stable(scene: Scene, grid: GeoBox, wanted: Array, stable: PathLike | None) -> Mask:
    window = full_window(grid)
    if stable is not None:
        path, band = split_band(str(stable))
        mask = Source.open(path, layer("valid"), band, role="stable").read(grid, window)
        return np.asarray(mask > 0)
    steepness = slope(gradient(wanted, pixel_size(grid)))
    with np.errstate(invalid="ignore"):
        chosen = np.asarray(steepness < _STEEPEST)
        if "ndvi" in scene.sources:
            chosen &= ~(scene.sources["ndvi"].read(grid, window) > _GREEN)
    return chosen


def _usual(differences: Array, known: Mask) -> Mask:
    """Return the known pixels without objects and blunders."""
    values = differences[known]
    middle = np.median(values)
    limit = _OUTLYING * max(_NMAD * float(np.median(np.abs(values - middle))), 1e-3)
    with np.errstate(invalid="ignore"):
        return np.asarray(known & (np.abs(differences - middle) <= limit))


def _spread(differences: Array, known: Mask) -> float:
    values = differences[known & np.isfinite(differences)]
    return float(_NMAD * np.median(np.abs(values - np.median(values)))) if values.size else math.nan


def _require_relief(path: str, known: Mask, wanted: Array, grid: GeoBox) -> None:
    count = int(known.sum())
    if count < _FEWEST:
        raise DataError(
            f"{path}: shares {count} stable pixels with the reference of --align, fewer than "
            f"{_FEWEST}",
            "give a mask of stable ground with --stable, or leave out --align",
        )
    slopes = gradient(_smoothed(wanted), pixel_size(grid))
    sloping = known & np.isfinite(slopes.down) & np.isfinite(slopes.across)
    steep = slope(slopes)[sloping] > _GENTLE
    if steep.sum() < _SLOPING * count:
        raise DataError(
            f"{path}: {steep.sum() / count:.1%} of the stable ground slopes by more than "
            f"{_GENTLE:g} degrees, which is too flat to find a horizontal shift",
            _CURE,
        )
    parts = np.stack([slopes.down[sloping], slopes.across[sloping]]).astype(np.float64)
    weak, strong = np.sqrt(np.clip(np.linalg.eigvalsh(parts @ parts.T), 0, None))
    if weak < _ONE_WAY * strong:
        raise DataError(
            f"{path}: the stable ground slopes in one direction only, and a shift across it "
            "cannot be found",
            _CURE,
        )


def _smoothed(heights: Array) -> Array:
    """Return heights without noise, whose slopes would be taken for relief."""
    from scipy.ndimage import gaussian_filter

    known = np.isfinite(heights)
    level = np.float32(np.median(heights[known]))
    filled = np.where(known, heights - level, 0).astype(np.float32)
    weight = gaussian_filter(known.astype(np.float32), _SMOOTHING)
    enough = np.where(weight > 0.3, weight, np.nan)
    return np.asarray(gaussian_filter(filled, _SMOOTHING) / enough, np.float32)


def _require_level(verticals: dict[str, Vertical], up: float) -> None:
    """Raise if heights are far apart and may have different vertical references."""
    undeclared = [path for path, v in verticals.items() if v.reference == "unknown"]
    if undeclared and abs(up) > MAX_OFFSET:
        raise DataError(
            f"{' and '.join(verticals)} differ by {-up:+.1f} m, and no vertical reference is "
            f"declared for {' and '.join(undeclared)}",
            f"declare them, such as --vertical dsm=ellipsoidal --vertical {REFERENCE}=egm2008, "
            "with --to-vertical if they differ",
        )


def _require_reliable(path: str, result: PairAlignment, last: Shift, grid: GeoBox) -> None:
    """Raise if the translation is far, does not improve the fit, or did not converge."""
    gsd, shift = pixel_size(grid), result.shift
    if math.hypot(shift.east, shift.north) > _FARTHEST * gsd:
        raise DataError(
            f"{path}: the shift of {shift.east:+.1f} m east and {shift.north:+.1f} m north is "
            f"larger than {_FARTHEST} pixels and probably wrong",
            _CURE,
        )
    if math.hypot(last.east, last.north) > gsd:
        raise DataError(
            f"{path}: the fit to the reference of --align does not converge: its last step is "
            f"{last.east:+.2f} m east, {last.north:+.2f} m north",
            _CURE,
        )
    if not result.after <= result.before:
        raise DataError(
            f"{path}: no shift brings it closer to the reference of --align (NMAD "
            f"{result.before:.2f} m before, {result.after:.2f} m after)",
            _CURE,
        )
