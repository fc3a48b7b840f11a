"""Arrays of a stage, kept in the checkpoint's folder for an interrupted run to resume with."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from demiurge.outputs import atomic_file


def save_arrays(path: Path, key: str, **arrays: Any) -> None:
    """Write arrays and numbers to a file, with the key of the run that they belong to."""
    with atomic_file(path, overwrite=True) as partial:
        np.savez(partial, key=key, **arrays)


def load_arrays(path: Path, key: str) -> dict[str, Any] | None:
    """Read the arrays of a run; None if there are none with this key."""
    try:
        # Opened here, since NumPy leaves a file open that is not an archive.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return dict(file) if str(file["key"]) == key else None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
