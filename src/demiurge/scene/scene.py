"""A scene: a place as named layers on one grid, read lazily by window."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from demiurge.arrays import Array
from demiurge.errors import DataError, UsageError
from demiurge.layers import BASES, PANCHROMATIC, Kind, layer
from demiurge.scene import derive
from demiurge.scene.equalise import TILE, Equaliser, fit_in_parts
from demiurge.scene.grid import Window, blocks, full_window, patches, pixel_size
from demiurge.scene.source import Source
from demiurge.scene.spec import SPEC_NAME, SceneSpec, Vertical
from demiurge.scene.stack import Stack, map_stack, release
from demiurge.scene.statistics import Statistics, grain

FINGERPRINT_NAME = "fingerprint.json"
#: Settings that a simulated scene was made with.
SIMULATION_NAME = "simulation.yaml"
_SAMPLE_SIDE = 1024
_READERS = 2
#: Pixels of an image that are kept in memory while an equaliser is fitted; more are read again.
_KEPT = 2**21


@dataclass(frozen=True)
class Scene:
    """Layers of one place on one grid.

    Attributes
    ----------
    name
        What reports call it.
    grid
        The grid of everything that :meth:`read` returns; metric, square pixels, north-up.
    sources
        The stored layers, by name.
    vertical
        What the heights are above.
    folder
        The prepared scene's folder, or None for one made on the fly from files.
    equalised
        Layers whose stored contrast is equalised.
    notes
        What was done to bring the files together, in sentences for people.
    """

    name: str
    grid: GeoBox
    sources: dict[str, Source]
    vertical: Vertical = field(default_factory=Vertical)
    folder: Path | None = None
    equalised: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    spec: SceneSpec | None = None
    _stack: Stack | None = None
    _equalisers: dict[str, Equaliser | None] = field(default_factory=dict)
    _statistics: dict[str, Any] = field(default_factory=dict)
    _grains: dict[str, float | None] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory-mapped stack behind: another process maps it again."""
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
        """Return all layers that can be read: stored ones, then derived ones."""
        names = list(self.sources)
        names += [
            n for n, needs in derive.NEEDS.items() if n not in names and set(needs) <= {*names}
        ]
        if "valid" not in names and self.measuring:
            names.append("valid")
        return tuple(names)

    @property
    def files(self) -> tuple[str, ...]:
        """Return the files that the scene is read from, by path or GDAL's name."""
        own = (SPEC_NAME, FINGERPRINT_NAME, SIMULATION_NAME)
        folder = [] if self.folder is None else [str(self.folder / name) for name in own]
        return (*dict.fromkeys(source.path for source in self.sources.values()), *folder)

    @property
    def simulated(self) -> bool:
        """Tell whether the scene says of itself that it is made up."""
        return self.folder is not None and (self.folder / SIMULATION_NAME).exists()

    @property
    def base(self) -> str | None:
        """Return the height layer that results are corrections of, or None."""
        return next((name for name in BASES if name in self.sources), None)

    @property
    def measuring(self) -> tuple[str, ...]:
        """Return the layers that decide what counts as measured; never the truth."""
        if self.base:
            return (self.base,)
        return tuple(n for n in self.sources if layer(n).kind is Kind.IMAGE)

    def read(
        self, window: Window | None = None, layers: Sequence[str] | None = None, step: int = 1
    ) -> Array:
        """Read layers.

        Parameters
        ----------
        window
            Half-open pixel window of the scene's grid; all of it if None.
        layers
            Names in the order wanted; all if None.
        step
            Read only every ``step``-th pixel, for statistics and pictures.

        Returns
        -------
        float32 (layers, height, width), NaN for no data, in each layer's unit.

        Raises
        ------
        UsageError
            If a layer is not in the scene, or the window leaves it.
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
        return np.stack([self._read_one(name, window, step) for name in names])

    def release(self) -> None:
        """Let go of the memory of what was read so far from a memory-mapped stack.

        The pages stay in the system's cache; a process that walks over a large scene stays small.
        """
        release(self._stack)

    def _read_one(self, name: str, window: Window, step: int) -> Array:
        if name in self.sources:
            data = self._read_stored(name, window, step)
            equaliser = self._equalisers.get(name)
            return data if equaliser is None else equaliser.apply(data, window)
        if name == "valid":
            return derive.valid(
                np.stack([self._read_stored(n, window, step) for n in self.measuring])
            )
        makes = {"ndvi": derive.ndvi, "truth_height": derive.height_above_ground}
        return makes[name](*(self._read_stored(n, window, step) for n in derive.NEEDS[name]))

    def _read_stored(self, name: str, window: Window, step: int) -> Array:
        source = self.sources[name]
        if self._stack is not None:
            rows, columns = window.slices
            part = self._stack[source.band - 1, rows, columns][::step, ::step]
            return np.array(part, np.float32)
        return source.read(self.grid, window, step)

    def require(self, names: Iterable[str]) -> None:
        """Raise UsageError if one of the layers is not in the scene."""
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
                f"window {tuple(window)} leaves scene '{self.name}' of {rows} × {columns} pixels",
                "windows are (row, col, height, width)",
            )

    def sample(self, name: str, most: int = _SAMPLE_SIDE) -> Array:
        """Read patches spread evenly over a layer, at most about ``most`` pixels a side.

        The patches are the same for all layers, so that samples can be compared.

        Returns
        -------
        float32, the patches side by side; all of the layer if it is small.
        """
        found = []
        for row in patches(self.shape, most):
            found.append([self.read(window, [name])[0] for window in row])
            self.release()  # patches are small, the pages they lie on are many
        return np.block(found)

    def statistics(self, name: str) -> dict[str, Any]:
        """Return count, voids, range, mean, spread and quantiles of a layer.

        They come from the fingerprint of a prepared scene, else from a thinned read.
        """
        if name not in self._statistics:
            self.survey([name])
        result: dict[str, Any] = self._statistics[name]
        return result

    def grain(self, name: str) -> float | None:
        """Return how rough an image is; see :func:`demiurge.scene.statistics.grain`."""
        if name not in self._grains:
            self.survey([name])
        return self._grains[name]

    def survey(self, names: Sequence[str]) -> None:
        """Look at several layers at once, so that files that hold more than one are read once."""
        todo = [n for n in names if n not in self._statistics or n not in self._grains]
        if not todo:
            return
        rows = patches(self.shape, _SAMPLE_SIDE)
        with ThreadPoolExecutor(_READERS) as pool:
            found = [list(pool.map(lambda window: self.read(window, todo), row)) for row in rows]
        self.release()
        for place, name in enumerate(todo):
            sample = np.block([[part[place] for part in row] for row in found])
            self._grains[name] = grain(sample)
            if name not in self._statistics:
                statistics = Statistics.of_shape((_SAMPLE_SIDE, _SAMPLE_SIDE))
                statistics.add(sample)
                self._statistics[name] = statistics.result()

    def with_equalised(self) -> Scene:
        """Return the scene with the contrast of all panchromatic images equalised."""
        todo = [n for n in PANCHROMATIC if n in self.sources and n not in self.equalised]
        if not todo:
            return self
        fitted = {name: self._fit(name) for name in todo}
        return replace(
            self,
            equalised=self.equalised | set(todo),
            _equalisers={**self._equalisers, **fitted},
            _statistics={k: v for k, v in self._statistics.items() if k not in todo},
            _grains={k: v for k, v in self._grains.items() if k not in todo},
        )

    def _fit(self, name: str) -> Equaliser | None:
        """Fit on every fourth pixel, read tile row by tile row to bound the memory."""
        rows, columns = self.shape
        step = 4 if max(rows, columns) > TILE else 1
        strips = [Window(w.row, 0, w.height, columns) for w in blocks((rows, 1), TILE)]

        def read() -> Iterator[Array]:
            return (self._read_stored(name, strip, step) for strip in strips)

        kept = list(read()) if rows * columns <= _KEPT * step**2 else None
        heights = sum(-(-strip.height // step) for strip in strips)
        return fit_in_parts(read if kept is None else lambda: kept, heights, self.shape)

    def __repr__(self) -> str:
        rows, columns = self.shape
        return (
            f"Scene('{self.name}', {rows} × {columns} px of {self.pixel_size:g} m, "
            f"{self.grid.crs}, layers: {', '.join(self.layers)})"
        )


def load_fingerprint(folder: Path) -> dict[str, Any]:
    """Read ``fingerprint.json`` of a prepared scene; empty if there is none."""
    path = folder / FINGERPRINT_NAME
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError(f"{path}: is not readable JSON", "prepare the scene again") from None
    return content if isinstance(content, dict) else {}
