"""What is known of compared pixels, in columns on disk: memory stays small whatever the raster."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from demiurge.errors import ResourceError

Column = npt.NDArray[Any]

#: Pixels that are kept. Of more, an even random choice: a quantile's rank is then off by at most
#: 0.0002 (four standard deviations), a mean by 0.0004 standard deviations of the errors.
MOST = 10**8
_PART = 1 << 20


class Columns:
    """Grows by blocks of equally long arrays, one for each name; read back whole, by name.

    Parameters
    ----------
    pixels
        How many there may come to be.
    most
        How many are kept of them, chosen at random with a fixed seed; 10⁸ if None.

    Attributes
    ----------
    share
        Of the pixels that are kept.
    """

    def __init__(self, pixels: int, most: int | None = None) -> None:
        self.share = min(1.0, (MOST if most is None else most) / max(pixels, 1))
        self.count = 0
        self._rng = np.random.default_rng(0)
        self._files: dict[str, tuple[IO[bytes], np.dtype[Any]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file, _dtype in self._files.values():
            file.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return tuple(self._files)

    def add(self, block: Mapping[str, Column], share: float | None = None) -> None:
        """Append a block.

        Parameters
        ----------
        share
            Of its pixels that are kept; the columns' own if None.

        Raises
        ------
        ResourceError
            If the disk is full.
        """
        count = len(next(iter(block.values())))
        chosen: Any = slice(None)
        share = self.share if share is None else share
        if share < 1:
            chosen = np.flatnonzero(self._rng.random(count) < share)
            count = len(chosen)
        self.count += count
        for name, values in block.items():
            if name not in self._files:
                self._files[name] = (tempfile.TemporaryFile(), values.dtype)  # noqa: SIM115
            file, dtype = self._files[name]
            try:
                file.write(np.ascontiguousarray(values[chosen], dtype).data)
            except OSError as error:
                raise ResourceError(
                    f"{tempfile.gettempdir()}: has no room for what is compared ({error})",
                    "point TMPDIR to a folder with some gigabytes",
                ) from None

    def read(self, name: str) -> Column:
        """Return a column; a new array each time."""
        file, dtype = self._files[name]
        file.flush()
        file.seek(0)
        return np.fromfile(file, dtype, self.count)

    def parts(self, name: str) -> Iterator[Column]:
        """Yield a column in pieces of a million pixels."""
        file, dtype = self._files[name]
        file.flush()
        for first in range(0, self.count, _PART):
            file.seek(first * dtype.itemsize)
            yield np.fromfile(file, dtype, min(_PART, self.count - first))

    def sample(self, names: Sequence[str], most: int) -> dict[str, Column]:
        """Return the same even choice of pixels of several columns."""
        step = max(1, -(-self.count // most))
        return {name: self._thinned(name, step) for name in names}

    def _thinned(self, name: str, step: int) -> Column:
        kept, first = [], 0
        for part in self.parts(name):
            kept.append(part[-first % step :: step])
            first += len(part)
        return np.concatenate(kept) if kept else self.read(name)

    def extend(self, other: Columns) -> None:
        """Append another's columns, those that both have, a million pixels at a time.

        What the other has left out already is not left out again: of all its pixels the share that
        is kept here is the same as of any others.
        """
        names = [n for n in other.names if not self._files or n in self._files]
        share = min(1.0, self.share / other.share)
        for parts in zip(*(other.parts(name) for name in names), strict=True):
            self.add(dict(zip(names, parts, strict=True)), share)
        for name in set(self._files) - set(names):
            self._files.pop(name)[0].close()
