"""Learned elevation: heights from one image, and better DSMs and DTMs from stereo.

>>> import demiurge
>>> surface = demiurge.refine("dsm.tif", "better.tif", bundle="my.bundle")  # doctest: +SKIP

Names are imported on first use, which keeps the import of the package quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from demiurge._version import __version__

if TYPE_CHECKING:
    from demiurge.errors import DemiurgeError as DemiurgeError
    from demiurge.evaluation.certify import certify as certify
    from demiurge.evaluation.compare import compare as compare
    from demiurge.evaluation.evaluate import Evaluation as Evaluation
    from demiurge.evaluation.evaluate import evaluate as evaluate
    from demiurge.evaluation.sites import evaluate_sites as evaluate_sites
    from demiurge.exports.export import export as export
    from demiurge.fetching.api import fetch as fetch
    from demiurge.model.bundle import Bundle as Bundle
    from demiurge.model.bundle import load_bundle as load_bundle
    from demiurge.pointclouds.lidar import lidar as lidar
    from demiurge.predict.api import generate as generate
    from demiurge.predict.api import imagine as imagine
    from demiurge.predict.api import refine as refine
    from demiurge.predict.options import Options as Options
    from demiurge.predict.surface import Surface as Surface
    from demiurge.scene.check import check as check
    from demiurge.scene.open import open_scene as open_scene
    from demiurge.scene.open import scene_from_files as scene_from_files
    from demiurge.scene.prepare import prepare as prepare
    from demiurge.scene.recognise.folder import recognise as recognise
    from demiurge.scene.scene import Scene as Scene
    from demiurge.scene.xarrays import scene_from_xarray as scene_from_xarray
    from demiurge.simulation.run import simulate as simulate
    from demiurge.training.fit import plan as plan
    from demiurge.training.fit import train as train
    from demiurge.training.recipe import Recipe as Recipe
    from demiurge.training.recipe import load_recipe as load_recipe
    from demiurge.viewer.run import view as view

_MODULES = {
    "Bundle": "demiurge.model.bundle",
    "DemiurgeError": "demiurge.errors",
    "Evaluation": "demiurge.evaluation.evaluate",
    "Options": "demiurge.predict.options",
    "Recipe": "demiurge.training.recipe",
    "Scene": "demiurge.scene.scene",
    "Surface": "demiurge.predict.surface",
    "certify": "demiurge.evaluation.certify",
    "check": "demiurge.scene.check",
    "compare": "demiurge.evaluation.compare",
    "evaluate": "demiurge.evaluation.evaluate",
    "evaluate_sites": "demiurge.evaluation.sites",
    "export": "demiurge.exports.export",
    "fetch": "demiurge.fetching.api",
    "generate": "demiurge.predict.api",
    "imagine": "demiurge.predict.api",
    "lidar": "demiurge.pointclouds.lidar",
    "load_bundle": "demiurge.model.bundle",
    "load_recipe": "demiurge.training.recipe",
    "open_scene": "demiurge.scene.open",
    "plan": "demiurge.training.fit",
    "prepare": "demiurge.scene.prepare",
    "recognise": "demiurge.scene.recognise.folder",
    "refine": "demiurge.predict.api",
    "scene_from_files": "demiurge.scene.open",
    "scene_from_xarray": "demiurge.scene.xarrays",
    "simulate": "demiurge.simulation.run",
    "train": "demiurge.training.fit",
    "view": "demiurge.viewer.run",
}

__all__ = ["__version__", *sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'demiurge' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
