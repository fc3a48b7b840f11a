"""A scene: layers of one place on one grid, read lazily by window."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array, Mask
from demiurge.errors import UsageError
from demiurge.layers import BASES, PANCHROMATIC, Kind, layer
from demiurge.raster.outliers import MARGIN, exceeds, gross_outliers
from demiurge.scene.camera import Direction
from demiurge.scene.derived import DERIVED, height_above_ground, ndvi, valid
from demiurge.scene.equalise import TILE, Equaliser, fit_in_parts
from demiurge.scene.geotiff import Stack, map_stack, release
from demiurge.scene.grid import (
    Window,
    blocks,
    crs_name,
    full_window,
    grown,
    pixel_size,
    sample_windows,
)
from demiurge.scene.metadata import acquisition_time
from demiurge.scene.source import Source
from demiurge.scene.spec import SPEC_NAME, SceneSpec, Vertical
from demiurge.scene.statistics import FINGERPRINT_NAME, Statistics, grain
from demiurge.threads import map_ordered

if TYPE_CHECKING:
    import xarray

#: First and last moment, UTC.
Span = tuple[dt.datetime, dt.datetime]

#: Settings of the simulation that created the scene.
SIMULATION_NAME = "simulation.yaml"
_SAMPLE_SIDE = 1024
_READERS = 2
#: Largest sample of an image that is kept in memory while an equaliser is fitted.
_KEPT = 2**21


@dataclass(frozen=True)
class Scene:
    """Layers of one place on one grid.

    Attributes
    ----------
    name
        Name in reports.
    grid
        The grid of all that :meth:`read` returns; metric, square pixels, north-up.
    sources
        The stored layers, by name.
    vertical
        Vertical reference of the heights.
    folder
        Folder of a prepared scene; None for a scene made from files.
    equalised
        Layers whose stored contrast is equalised.
    notes
        Conversions applied to the files, one sentence each.
    spec
        Content of ``scene.yaml``; None for a scene made from files.
    views, sun
        Directions to the sensor by image, if known, left first; direction to the sun.
    """

    name: str
    grid: GeoBox
    sources: dict[str, Source]
    vertical: Vertical = field(default_factory=Vertical)
    folder: Path | None = None
    equalised: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    spec: SceneSpec | None = None
    views: Mapping[str, Direction] = field(default_factory=dict)
    sun: Direction | None = None
    _stack: Stack | None = None
    _equalisers: dict[str, Equaliser | None] = field(default_factory=dict)
    _statistics: dict[str, Any] = field(default_factory=dict)
    _grains: dict[str, float | None] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """Replace the memory-mapped stack by its path: another process maps it again."""
        state = dict(self.__dict__)
        state["_stack"] = None if self._stack is None else next(iter(self.sources.values())).path
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the stack again."""
        path = state["_stack"]
        self.__dict__.update(state, _stack=None if path is None else map_stack(Path(path)))

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""
        return (int(self.grid.shape[0]), int(self.grid.shape[1]))

    @property
    def pixel_size(self) -> float:
        """Return the pixel size in metres."""
        return pixel_size(self.grid)

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the names of all readable layers: stored ones, then derived ones."""
        names = list(self.sources)
        names += [n for n, needs in DERIVED.items() if n not in names and set(needs) <= {*names}]
        if "valid" not in names and self.measured_layers:
            names.append("valid")
        return tuple(names)

    @property
    def files(self) -> tuple[str, ...]:
        """Return the files that the scene is read from, by path or GDAL name."""
        own = (SPEC_NAME, FINGERPRINT_NAME, SIMULATION_NAME)
        folder = [] if self.folder is None else [str(self.folder / name) for name in own]
        return (*dict.fromkeys(source.path for source in self.sources.values()), *folder)

    @property
    def simulated(self) -> bool:
        """Return whether the scene is marked as simulated."""
        return self.folder is not None and (self.folder / SIMULATION_NAME).exists()

    @property
    def base(self) -> str | None:
        """Return the height layer that networks correct, or None."""
        return next((name for name in BASES if name in self.sources), None)

    @property
    def measured_layers(self) -> tuple[str, ...]:
        """Return the layers that define the measured pixels: the base, else all images."""
        if self.base:
            return (self.base,)
        return tuple(n for n in self.sources if layer(n).kind is Kind.IMAGE)

    def acquired(self) -> Span | None:
        """Return the first and last acquisition time of the images, or None if unknown.

        The times come from ``scene.yaml``, else from the metadata of all images. Modification
        times of files are not used: they are times of processing.
        """
        if self.spec is not None and self.spec.acquired:
            days = self.spec.acquired
            first = dt.datetime.combine(min(days), dt.time.min, dt.UTC)
            return first, dt.datetime.combine(max(days), dt.time(23, 59, 59), dt.UTC)
        paths = {s.path for s in self.sources.values() if s.layer.kind is Kind.IMAGE}
        times = [acquisition_time(path) for path in sorted(paths)]
        known = [time for time in times if time is not None]
        return (min(known), max(known)) if known and len(known) == len(times) else None

    def read(
        self, window: Window | None = None, layers: Sequence[str] | None = None, step: int = 1
    ) -> Array:
        """Read layers.

        Parameters
        ----------
        window
            Half-open pixel window of the scene's grid; the full grid if None.
        layers
            Names in the order of the result; all layers if None.
        step
            Read only every ``step``-th pixel, for statistics and pictures.

        Returns
        -------
        float32 (layers, height, width), NaN for no data, in the unit of each layer.

        Raises
        ------
        UsageError
            If the scene lacks a layer, or the window exceeds the grid.
        DataError
            If a file is damaged.
        """
        window = full_window(self.grid) if window is None else Window(*window)
        names = self.layers if layers is None else tuple(layers)
        self.require(names)
        self._check_window(window)
        if self._stack is not None and set(names) <= set(self.sources) and not self._equalisers:
            bands = [self.sources[name].band - 1 for name in names]
            rows, columns = window.slices
            part = self._stack[:, rows, columns][:, ::step, ::step]
            return np.stack([part[band] for band in bands])
        return np.stack([self._read_layer(name, window, step) for name in names])

    def release(self) -> None:
        """Drop the pages of a memory-mapped stack from this process.

        They stay in the page cache of the system; a process that reads a large scene keeps a
        small resident size.
        """
        release(self._stack)

    def _read_layer(self, name: str, window: Window, step: int) -> Array:
        if name in self.sources:
            data = self._read_stored(name, window, step)
            equaliser = self._equalisers.get(name)
            return data if equaliser is None else equaliser.apply(data, window)
        if name == "valid":
            return valid(
                np.stack([self._read_stored(n, window, step) for n in self.measured_layers])
            )
        compute = {"ndvi": ndvi, "truth_height": height_above_ground}[name]
        return compute(*(self._read_stored(n, window, step) for n in DERIVED[name]))

    def _read_stored(self, name: str, window: Window, step: int) -> Array:
        source = self.sources[name]
        if self._stack is not None:
            rows, columns = window.slices
            part = self._stack[source.band - 1, rows, columns][::step, ::step]
            return np.array(part, np.float32)
        return source.read(self.grid, window, step)

    def require(self, names: Iterable[str]) -> None:
        """Raise UsageError if the scene lacks one of the layers."""
        have = self.layers
        for name in names:
            layer(name)
            if name not in have:
                raise UsageError(
                    f"scene '{self.name}' has no layer '{name}'", "it has: " + ", ".join(have)
                )

    def _check_window(self, window: Window) -> None:
        rows, columns = self.shape
        inside = (
            window.row >= 0
            and window.col >= 0
            and window.height > 0
            and window.width > 0
            and window.row + window.height <= rows
            and window.col + window.width <= columns
        )
        if not inside:
            raise UsageError(
                f"window {tuple(window)} exceeds scene '{self.name}' of {rows} × {columns} pixels",
                "windows are (row, col, height, width)",
            )

    def outliers(self, name: str, window: Window, heights: Array) -> Mask | None:
        """Return the gross outliers of a height layer within a window.

        The result does not depend on the window: pixels around it are read if necessary.

        Parameters
        ----------
        name
            Layer of heights in metres.
        heights
            float32 (window.height, window.width): the layer as read within the window.

        Returns
        -------
        bool (window.height, window.width), or None if there are none; see
        :func:`demiurge.raster.outliers.gross_outliers`.
        """
        # A small range of heights excludes outliers, unless one lies isolated in a void.
        if not exceeds(heights) and np.isfinite(heights).mean() > 0.5:
            return None
        wide = grown(window, MARGIN, self.shape)
        mask = gross_outliers(self.read(wide, [name])[0], self.pixel_size)
        row, col = window.row - wide.row, window.col - wide.col
        inside = mask[row : row + window.height, col : col + window.width]
        return inside if inside.any() else None

    def sample(self, name: str, most: int = _SAMPLE_SIDE) -> Array:
        """Read windows distributed evenly over a layer, about ``most`` × ``most`` pixels in all.

        The windows are the same for all layers, so that samples can be compared by pixel.

        Returns
        -------
        float32, the windows side by side; the complete layer if it is small.
        """
        rows = []
        for row in sample_windows(self.shape, most):
            rows.append([self.read(window, [name])[0] for window in row])
            self.release()  # small windows occupy many pages
        return np.block(rows)

    def statistics(self, name: str) -> dict[str, Any]:
        """Return count, voids, range, mean, standard deviation and quantiles of a layer.

        They come from the fingerprint of a prepared scene, else from a sample.
        """
        if name not in self._statistics:
            self.compute_statistics([name])
        result: dict[str, Any] = self._statistics[name]
        return result

    def grain(self, name: str) -> float | None:
        """Return the grain of an image; see :func:`demiurge.scene.statistics.grain`."""
        if name not in self._grains:
            self.compute_statistics([name])
        return self._grains[name]

    def compute_statistics(self, names: Sequence[str]) -> None:
        """Compute statistics of several layers at once, so that each file is read once."""
        missing = [n for n in names if n not in self._statistics or n not in self._grains]
        if not missing:
            return
        rows = sample_windows(self.shape, _SAMPLE_SIDE)
        windows = [window for row in rows for window in row]
        parts = map_ordered(lambda window: self.read(window, missing), windows, _READERS)
        samples = [[next(parts) for _ in row] for row in rows]
        parts.close()
        self.release()
        for index, name in enumerate(missing):
            sample = np.block([[part[index] for part in row] for row in samples])
            self._grains[name] = grain(sample)
            if name not in self._statistics:
                statistics = Statistics.of_shape((_SAMPLE_SIDE, _SAMPLE_SIDE))
                statistics.add(sample)
                self._statistics[name] = statistics.result()

    def with_equalised(self) -> Scene:
        """Return the scene with the contrast of all panchromatic images equalised."""
        names = [n for n in PANCHROMATIC if n in self.sources and n not in self.equalised]
        if not names:
            return self
        fitted = {name: self._fit(name) for name in names}
        return replace(
            self,
            equalised=self.equalised | set(names),
            _equalisers={**self._equalisers, **fitted},
            _statistics={k: v for k, v in self._statistics.items() if k not in names},
            _grains={k: v for k, v in self._grains.items() if k not in names},
        )

    def _fit(self, name: str) -> Equaliser | None:
        """Fit an equaliser on every fourth pixel, strip by strip to bound the memory."""
        rows, columns = self.shape
        step = 4 if max(rows, columns) > TILE else 1
        strips = [Window(w.row, 0, w.height, columns) for w in blocks((rows, 1), TILE)]

        def read() -> Iterator[Array]:
            return (self._read_stored(name, strip, step) for strip in strips)

        kept = list(read()) if rows * columns <= _KEPT * step**2 else None
        heights = sum(-(-strip.height // step) for strip in strips)
        return fit_in_parts(read if kept is None else lambda: kept, heights, self.shape)

    def to_xarray(
        self, layers: Sequence[str] | None = None, chunks: int | tuple[int, int] | None = 512
    ) -> xarray.Dataset:
        """Return layers as a Dataset that reads the scene by window, when it is computed.

        Parameters
        ----------
        layers
            Names; all layers if None.
        chunks
            Rows and columns of the windows that Dask reads; None reads all layers at once.

        Returns
        -------
        A variable (y, x) for each layer: float32, NaN for no data, units and, of heights, the
        vertical reference in its attributes; CRS and transform as rioxarray writes them.

        Raises
        ------
        UsageError
            If the scene lacks a layer.
        ResourceError
            If the extra ``xarray`` is not installed.
        """
        from demiurge.scene.datasets import scene_to_xarray

        return scene_to_xarray(self, layers, chunks)

    def _repr_html_(self) -> str:
        """Return a summary for notebooks: thumbnails, grid, vertical reference, layers, notes."""
        from demiurge.scene.preview import scene_html

        return scene_html(self)

    def __repr__(self) -> str:
        rows, columns = self.shape
        return (
            f"Scene('{self.name}', {rows} × {columns} px of {self.pixel_size:g} m, "
            f"{crs_name(self.grid.crs)}, layers: {', '.join(self.layers)})"
        )
