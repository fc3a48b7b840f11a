"""Per-pixel values of a comparison, stored as columns in temporary files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from demiurge.errors import ResourceError

Column = npt.NDArray[Any]

#: Largest number of stored pixels. Larger comparisons are sampled at random: the rank of a
#: quantile is then off by at most 0.0002 (four standard deviations), a mean by 0.0004 standard
#: deviations of the errors.
MOST = 10**8
#: Pixels that are read at once.
_CHUNK = 1 << 20


class Columns:
    """Named columns of equal length that grow by blocks.

    Memory is bounded by one column. Exact quantiles need all values of a column at once: a sample
    of four million shifts LE90 by millimetres, and a histogram needs a second pass about the
    median for the NMAD and one histogram for each class.

    Parameters
    ----------
    pixels
        Upper limit of the number of pixels that will be added.
    most
        Largest number of stored pixels, chosen at random with a fixed seed; 10⁸ if None.

    Attributes
    ----------
    share
        Fraction of the pixels that is stored.
    count
        Number of stored pixels.
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
        block
            Arrays of equal length by column name.
        share
            Fraction of its pixels to store; that of the columns if None.

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
                    f"{tempfile.gettempdir()}: has no space for the compared pixels ({error})",
                    "point TMPDIR to a folder with several gigabytes",
                ) from None

    def read(self, name: str) -> Column:
        """Return a column as a new array."""
        file, dtype = self._files[name]
        file.flush()
        file.seek(0)
        return np.fromfile(file, dtype, self.count)

    def chunks(self, name: str) -> Iterator[Column]:
        """Yield a column in chunks of a million pixels."""
        file, dtype = self._files[name]
        file.flush()
        for first in range(0, self.count, _CHUNK):
            file.seek(first * dtype.itemsize)
            yield np.fromfile(file, dtype, min(_CHUNK, self.count - first))

    def sample(self, names: Sequence[str], most: int) -> dict[str, Column]:
        """Return the same regularly spaced pixels, at most ``most``, of several columns."""
        step = max(1, -(-self.count // most))
        return {name: self._thinned(name, step) for name in names}

    def _thinned(self, name: str, step: int) -> Column:
        kept, first = [], 0
        for chunk in self.chunks(name):
            kept.append(chunk[-first % step :: step])
            first += len(chunk)
        return np.concatenate(kept) if kept else self.read(name)

    def extend(self, other: Columns) -> None:
        """Append the columns that both have, in chunks; drop those that the other lacks.

        Pixels of the other are sampled so that all pixels end up with the same probability of
        being stored.
        """
        names = [n for n in other.names if not self._files or n in self._files]
        share = min(1.0, self.share / other.share)
        for chunks in zip(*(other.chunks(name) for name in names), strict=True):
            self.add(dict(zip(names, chunks, strict=True)), share)
        for name in set(self._files) - set(names):
            self._files.pop(name)[0].close()
