"""Prediction of scenes of any size, without PyTorch.

``run`` is the engine for other programs. All names are loaded when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from demiurge.predict.engine import run as run
    from demiurge.predict.options import Options as Options
    from demiurge.predict.sinks import WindowWriter as WindowWriter
    from demiurge.predict.sources import WindowReader as WindowReader
    from demiurge.predict.surface import Prediction as Prediction
    from demiurge.predict.surface import Surface as Surface

_HOMES = {
    "Options": "options",
    "Prediction": "surface",
    "Surface": "surface",
    "WindowReader": "sources",
    "WindowWriter": "sinks",
    "run": "engine",
}

__all__ = [*sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'demiurge.predict' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"demiurge.predict.{_HOMES[name]}"), name)
