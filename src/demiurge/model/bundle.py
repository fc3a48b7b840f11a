"""Bundles: a trained model in one file, which is loaded without running code from it.

A bundle is a zip file with three members: ``bundle.json``, the card, which describes the model and
its inputs; ``graph.onnx``, the network with its weights, to apply it without PyTorch; and
``weights.safetensors``, the state that the graph lacks, to resume training from both.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Container
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from demiurge.config import Strict, first_fault
from demiurge.errors import BundleError, ResourceError
from demiurge.layers import layer
from demiurge.model.archive import CARD, GRAPH, WEIGHTS, read_member, refuse_foreign, sha256
from demiurge.model.contract import Contract
from demiurge.outputs import atomic_file
from demiurge.scene.spec import Vertical

SUFFIX = ".bundle"
Task = Literal["refine", "generate", "imagine"]


class PixelSizes(Strict):
    """Pixel sizes in metres that the model was trained at."""

    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]

    def fits(self, gsd: float) -> bool:
        """Return whether a pixel size in metres is in the range or at most 25 % outside it."""
        return self.low / 1.25 <= gsd <= self.high * 1.25


class WindowPlan(Strict):
    """Windows that rasters are split into, in pixels."""

    size: Annotated[int, Field(ge=64, le=4096, multiple_of=32)] = 256
    overlap: Annotated[float, Field(ge=0, lt=1, description="share of a window")] = 0.25

    def over(self, receptive_field: int) -> WindowPlan:
        """Return the plan whose windows overlap by twice the receptive field.

        Parameters
        ----------
        receptive_field
            Pixels around a pixel that affect its output. The overlap is an eighth to a half of the
            window.
        """
        sixteenths = int(np.clip(np.ceil(32 * receptive_field / self.size), 2, 8))
        return self.model_copy(update={"overlap": sixteenths / 16})

    def within(self, side: int) -> WindowPlan:
        """Return the plan with windows of at most ``side`` pixels; reduced ones overlap by 25 %."""
        return self if self.size <= side else WindowPlan(size=side)


class SunRange(Strict):
    """Directions to the sun that the model was trained with, in degrees.

    Azimuths are those after turning the sun to the south-south-east: 135 to 180.
    """

    azimuth: tuple[float, float] = Field(description="least and greatest azimuth, 135 to 180")
    elevation: tuple[float, float] = Field(description="least and greatest elevation")


class Precision(Strict):
    """Difference between a precision and float32 on held-out windows, in metres."""

    mean: float
    p99: float
    maximum: float


class Card(BaseModel):
    """The content of ``bundle.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Annotated[
        Literal[1, 2], Field(description="in 1, weights.safetensors holds all weights")
    ] = 2
    name: str
    task: Task
    about: str = ""
    contract: Contract
    pixel_sizes: PixelSizes
    vertical: Vertical = Vertical()
    window: WindowPlan = WindowPlan()
    suns: SunRange | None = Field(None, description="empty if the sun is not an input")
    clean_below: float | None = Field(
        None,
        description="smoothness below which a base is too clean for a model trained on raw stereo "
        "only; empty if it was also trained on clean ones",
    )
    recipe: dict[str, Any] = Field(
        default_factory=dict, description="resolved recipe of the training"
    )
    provenance: dict[str, Any] = Field(
        default_factory=dict, description="scenes, versions, device, time, attributions"
    )
    metrics: dict[str, Any] = Field(
        default_factory=dict, description="on validation places, in metres"
    )
    precision: dict[str, Precision] = Field(default_factory=dict)
    runtime_precision: Literal["f32", "bf16"] = Field(
        "f32", description="default precision if the hardware supports it"
    )
    sha256: dict[str, str] = Field(default_factory=dict, description="of the other members")

    @property
    def multiple(self) -> int:
        """Return the number of pixels that a window's side must be a multiple of."""
        depth = self.recipe.get("network", {}).get("depth", 5)
        return max(32, 1 << int(depth))


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and verified.

    Attributes
    ----------
    path
        The file.
    card
        Content of ``bundle.json``.
    """

    path: Path
    card: Card

    @property
    def contract(self) -> Contract:
        """Return the contract of inputs and outputs."""
        return self.card.contract

    def suited(self, have: Container[str]) -> Bundle:
        """Return the bundle for a scene with these layers; see :meth:`Contract.suited`."""
        contract = self.contract.suited(have)
        if contract is self.contract:
            return self
        return replace(self, card=self.card.model_copy(update={"contract": contract}))

    def _repr_html_(self) -> str:
        """Return a summary for notebooks: the card, the layers, and the recipe."""
        from demiurge.summary import Table, html_summary

        layers = [
            (e.name, layer(e.name).unit, layer(e.name).about, "optional" if e.optional else "")
            for e in self.contract.layers
        ]
        recipe = [(key, str(value)) for key, value in self.card.recipe.items()]
        return html_summary(
            f"Bundle '{self.card.name}'",
            [*card_summary(self.card), ("file", str(self.path))],
            tables=[Table(("input", "unit", "content", ""), layers)],
            folded=("recipe", Table(("key", "value"), recipe)),
        )

    def graph(self) -> bytes:
        """Return the ONNX graph."""
        return read_member(self.path, GRAPH)

    def weights(self) -> bytes:
        """Return the weights that the graph lacks, in safetensors format."""
        return read_member(self.path, WEIGHTS)


def save_bundle(
    path: Path, card: Card, graph: bytes, weights: bytes, *, overwrite: bool = False
) -> Bundle:
    """Write a bundle. The file appears under its name only when it is complete."""
    sums = {GRAPH: sha256(graph), WEIGHTS: sha256(weights)}
    card = card.model_copy(update={"format": 2, "sha256": sums})
    text = json.dumps(card.model_dump(mode="json"), indent=1, ensure_ascii=False)
    with (
        atomic_file(path, overwrite=overwrite) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, content in ((CARD, text.encode()), (GRAPH, graph), (WEIGHTS, weights)):
            # A fixed date, so that equal models give equal files.
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return Bundle(path, card)


def load_bundle(name: str | os.PathLike[str] | Bundle) -> Bundle:
    """Read and verify a bundle from a file, or a shipped bundle by its name.

    Raises
    ------
    ResourceError
        If the bundle does not exist.
    BundleError
        If the file is damaged, of another format, or not a bundle.
    """
    if isinstance(name, Bundle):
        return name
    path = _locate(name)
    refuse_foreign(path)
    try:
        card_bytes = read_member(path, CARD)
        card = Card.model_validate_json(card_bytes)
    except ValidationError as error:
        raise BundleError(
            f"{path}: its card is not understood ({first_fault(error)})",
            "it may come from another version of demiurge; train or fetch the bundle again",
        ) from None
    for member in (GRAPH, WEIGHTS):
        if sha256(read_member(path, member)) != card.sha256.get(member):
            raise BundleError(
                f"{path}: {member} is not what its card says", "fetch the bundle again"
            )
    return Bundle(path, card)


def shipped_bundles() -> dict[str, Path]:
    """Return the files of the shipped bundles and of those in $DEMIURGE_BUNDLES, by name."""
    folders = [Path(str(resources.files("demiurge") / "bundles"))]
    extra = os.environ.get("DEMIURGE_BUNDLES")
    folders += [Path(part) for part in extra.split(os.pathsep)] if extra else []
    return {p.stem: p for folder in folders for p in sorted(folder.glob(f"*{SUFFIX}"))}


def default_bundle(name: str) -> Bundle:
    """Return a shipped bundle: ``refine``, ``generate`` or ``generate-relative``.

    Raises
    ------
    ResourceError
        If there is none of that name.
    """
    shipped = shipped_bundles()
    if name not in shipped:
        raise ResourceError(
            f"no bundle '{name}' comes with this version",
            "train one with: demiurge train SCENE -o my.bundle, and name it with --bundle",
        )
    return load_bundle(shipped[name])


def _locate(name: str | os.PathLike[str]) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    shipped = shipped_bundles()
    if str(name) in shipped:  # before a folder of that name
        return shipped[str(name)]
    if path.exists():
        return path
    have = ", ".join(shipped) or "none"
    raise ResourceError(
        f"{name}: there is no such bundle", f"name a file, or a shipped one (here: {have})"
    )


def card_summary(card: Card) -> list[tuple[str, str]]:
    """Return the content of a card as pairs of heading and text."""
    contract, metrics = card.contract, card.metrics
    names = [f"{e.name} (optional)" if e.optional else e.name for e in contract.layers]
    unit = "relative" if contract.relative else "metres"
    rows = [
        ("name", card.name),
        ("about", card.about),
        ("task", card.task),
        ("inputs", ", ".join(names)),
        ("corrects", _base_text(contract)),
        ("predicts", f"{', '.join(contract.targets)} in {unit}"),
        ("uncertainty", "yes" if contract.uncertainty else "no"),
        ("pixel size", f"{card.pixel_sizes.low:g} to {card.pixel_sizes.high:g} m"),
        ("heights above", "the ground" if contract.above_ground else str(card.vertical)),
        *_sun_row(card.suns),
        ("window", f"{card.window.size} px, overlap {card.window.overlap:.0%}"),
        ("precision", card.runtime_precision),
    ]
    if "mae" in metrics:
        text = f"MAE {metrics['mae']:.3g} m, RMSE {metrics['rmse']:.3g} m"
        rows.append(("validation", f"{text}; its input {metrics['input_mae']:.3g} m MAE"))
    for target, by_target in metrics.get("by_target", {}).items():
        start = "its input" if target == "dsm" else "the opening it corrects"
        rows.append(
            (f"  {target}", f"MAE {by_target['mae']:.3g} m; {start} {by_target['start_mae']:.3g} m")
        )
    without = metrics.get(f"without_{contract.base}")
    if without:
        text = (
            f"MAE {without['mae']:.3g} m of relative heights; {without['input_mae']:.3g} m if flat"
        )
        rows.append((f"  without {contract.base}", text))
    rows += _gates_row(metrics.get("gates"))
    for name, p in card.precision.items():
        text = f"error {p.mean:.2g} m (mean), {p.p99:.2g} m (99 %), {p.maximum:.2g} m (max)"
        rows.append((name, text))
    scenes = [str(s.get("name", "?")) for s in card.provenance.get("scenes", [])]
    first = ", ".join(scenes[:6]) + (", …" if len(scenes) > 6 else "")
    rows.append(("trained on", f"{len(scenes)} scenes: {first}" if scenes else "unknown"))
    if card.provenance.get("credits"):
        rows.append(("data credits", "; ".join(card.provenance["credits"])))
    rows.append(
        (
            "created",
            f"{card.provenance.get('created', '')} by demiurge "
            f"{card.provenance.get('demiurge', '?')}",
        )
    )
    return rows


def _sun_row(suns: SunRange | None) -> list[tuple[str, str]]:
    """Return the row on the sun, if it is an input."""
    if suns is None:
        return []
    (low, high), (west, east) = suns.elevation, suns.azimuth
    text = f"elevation {low:.0f} to {high:.0f} degrees, turned to azimuth {west:.0f} to {east:.0f}"
    return [("sun", text)]


def _gates_row(gates: Any) -> list[tuple[str, str]]:
    """Return the row on the limits of ``benchmarks/gates.py``, if they were to be measured."""
    if not isinstance(gates, list):
        return [("held-out places", str(gates))] if gates else []
    reached, kept = (sum(bool(gate[key]) for gate in gates) for key in ("reached", "holds"))
    text = f"{kept} of {len(gates)} limits kept, {reached} goals reached"
    return [("held-out places", text)]


def _base_text(contract: Contract) -> str:
    if contract.base is None:
        return "nothing: heights are predicted directly"
    if contract.base in contract.required:
        return contract.base
    return f"{contract.base}; without it heights are relative"
