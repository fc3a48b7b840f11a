"""The bundle: a trained model in one file that anyone can open without running its code.

A zip with three members: ``bundle.json``, the card, with everything needed to use the model
honestly; ``graph.onnx``, the network with its weights, to apply it without PyTorch;
``weights.safetensors``, the state that the graph does not hold, to train on from both.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from demiurge.config import Strict, first_fault
from demiurge.errors import BundleError, ResourceError
from demiurge.model.contract import Contract
from demiurge.outputs import atomic_file
from demiurge.scene.spec import Vertical

SUFFIX = ".bundle"
CARD, GRAPH, WEIGHTS = "bundle.json", "graph.onnx", "weights.safetensors"
MEMBERS = (CARD, GRAPH, WEIGHTS)
#: Bytes that a member may have when unpacked: a damaged or hostile file must not fill the memory.
MOST_BYTES = {CARD: 16 * 2**20, GRAPH: 2**30, WEIGHTS: 2**30}

Task = Literal["refine", "generate", "imagine"]


class PixelSizes(Strict):
    """Pixel sizes in metres that the model was trained at."""

    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]

    def fits(self, gsd: float) -> bool:
        """Tell whether a pixel size is within a quarter of the range."""
        return self.low / 1.25 <= gsd <= self.high * 1.25


class WindowPlan(Strict):
    """How rasters are cut for the model, in pixels."""

    size: Annotated[int, Field(ge=64, le=4096, multiple_of=32)] = 256
    overlap: Annotated[float, Field(ge=0, lt=1, description="share of a window")] = 0.25

    def over(self, reach: int) -> WindowPlan:
        """Return the plan whose windows overlap by twice what a network heeds around a pixel.

        Parameters
        ----------
        reach
            Pixels; the overlap is an eighth to a half of the window all the same.
        """
        sixteenths = int(np.clip(np.ceil(32 * reach / self.size), 2, 8))
        return self.model_copy(update={"overlap": sixteenths / 16})

    def within(self, side: int) -> WindowPlan:
        """Return the plan with windows no larger than a side, which overlap by a quarter."""
        return self if self.size <= side else WindowPlan(size=side)


class Precision(Strict):
    """How far a reduced precision is from float32 on held-out windows, in metres."""

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
    clean_below: float | None = Field(
        None,
        description="smoothness of a base below which it is too clean for the model, which learned "
        "from raw stereo alone; left out where clean ones were learned from",
    )
    recipe: dict[str, Any] = Field(default_factory=dict, description="as trained, resolved")
    provenance: dict[str, Any] = Field(
        default_factory=dict, description="scenes, versions, device, time, attributions"
    )
    metrics: dict[str, Any] = Field(
        default_factory=dict, description="on validation places, in metres"
    )
    precision: dict[str, Precision] = Field(default_factory=dict)
    runtime_precision: Literal["f32", "bf16"] = Field(
        "f32", description="precision chosen by default where the hardware has it"
    )
    sha256: dict[str, str] = Field(default_factory=dict, description="of the other members")

    @property
    def multiple(self) -> int:
        """Return what a window's side in pixels must be a multiple of."""
        depth = self.recipe.get("network", {}).get("depth", 5)
        return max(32, 1 << int(depth))


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and found whole.

    Attributes
    ----------
    path
        Where it lies.
    card
        Its description.
    """

    path: Path
    card: Card

    @property
    def contract(self) -> Contract:
        """Return what goes in and what comes out."""
        return self.card.contract

    def suited(self, have: Container[str]) -> Bundle:
        """Return the bundle as it serves a scene with some layers."""
        contract = self.contract.suited(have)
        if contract is self.contract:
            return self
        return replace(self, card=self.card.model_copy(update={"contract": contract}))

    def graph(self) -> bytes:
        """Return the ONNX graph."""
        return _member(self.path, GRAPH)

    def weights(self) -> bytes:
        """Return the weights that the graph does not hold, in safetensors format."""
        return _member(self.path, WEIGHTS)


def save_bundle(
    path: Path, card: Card, graph: bytes, weights: bytes, *, overwrite: bool = False
) -> Bundle:
    """Write a bundle; it appears under its name only when it is whole."""
    sums = {GRAPH: _sha256(graph), WEIGHTS: _sha256(weights)}
    card = card.model_copy(update={"format": 2, "sha256": sums})
    text = json.dumps(card.model_dump(mode="json"), indent=1, ensure_ascii=False)
    with (
        atomic_file(path, overwrite=overwrite) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, content in ((CARD, text.encode()), (GRAPH, graph), (WEIGHTS, weights)):
            # A fixed date makes equal models equal files.
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return Bundle(path, card)


def load_bundle(name: str | os.PathLike[str] | Bundle) -> Bundle:
    """Read a bundle from a file, or a shipped one by its name, and check all of it.

    Raises
    ------
    ResourceError
        If there is no such bundle.
    BundleError
        If it is damaged, of another format, or no bundle at all.
    """
    if isinstance(name, Bundle):
        return name
    path = _locate(name)
    _refuse_foreign(path)
    try:
        card_bytes = _member(path, CARD)
        card = Card.model_validate_json(card_bytes)
    except ValidationError as error:
        raise BundleError(
            f"{path}: its card is not understood ({first_fault(error)})",
            "it may come from another version of demiurge; train or fetch it anew",
        ) from None
    for member in (GRAPH, WEIGHTS):
        if _sha256(_member(path, member)) != card.sha256.get(member):
            raise BundleError(f"{path}: {member} is not what its card says", "fetch it anew")
    return Bundle(path, card)


def shipped_bundles() -> dict[str, Path]:
    """Return the bundles that come with demiurge, and those in $DEMIURGE_BUNDLES, by name."""
    folders = [Path(str(resources.files("demiurge") / "bundles"))]
    extra = os.environ.get("DEMIURGE_BUNDLES")
    folders += [Path(part) for part in extra.split(os.pathsep)] if extra else []
    return {p.stem: p for folder in folders for p in sorted(folder.glob(f"*{SUFFIX}"))}


def default_bundle(task: Task) -> Bundle:
    """Return the shipped bundle for a task.

    Raises
    ------
    ResourceError
        If none is shipped.
    """
    found = shipped_bundles()
    if task not in found:
        raise ResourceError(
            f"no bundle for '{task}' comes with this version",
            "train one with: demiurge train SCENE -o my.bundle, and name it with --bundle",
        )
    return load_bundle(found[task])


def _locate(name: str | os.PathLike[str]) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    shipped = shipped_bundles()
    if str(name) in shipped:  # though a folder may have that name
        return shipped[str(name)]
    if path.exists():
        return path
    have = ", ".join(shipped) or "none"
    raise ResourceError(
        f"{name}: there is no such bundle", f"name a file, or a shipped one (here: {have})"
    )


def _refuse_foreign(path: Path) -> None:
    """Raise a sentence that says what the file is instead of a bundle."""
    if path.is_dir():
        raise BundleError(f"{path}: is a folder, not a bundle", "name the file")
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read ({error.strerror})") from None
    if head[:1] == b"\x80":
        raise BundleError(
            f"{path}: is a pickle, which could run any code when loaded",
            "train a bundle with demiurge train instead",
        )
    if not zipfile.is_zipfile(path):
        cut = head == b"PK\x03\x04"
        what = "is cut short" if cut else "is not a bundle"
        raise BundleError(f"{path}: {what}", "fetch it anew" if cut else "name a .bundle file")
    with _readable(path, "its list of members"), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    if any(n.endswith(("data.pkl", ".pickle")) for n in names):
        raise BundleError(
            f"{path}: is a PyTorch checkpoint, a pickle that could run any code when loaded",
            "train a bundle with demiurge train instead",
        )
    missing = [m for m in MEMBERS if m not in names]
    strange = [n for n in names if n not in MEMBERS]
    if missing or strange:
        fault = f"lacks {missing[0]}" if missing else f"holds '{strange[0]}'"
        raise BundleError(f"{path}: is not a bundle, for it {fault}", "name a .bundle file")
    for member, most in MOST_BYTES.items():
        if sizes[member] > most:
            raise BundleError(
                f"{path}: {member} has {sizes[member]} bytes, above the limit of {most}",
                "fetch it anew",
            )


def _member(path: Path, name: str) -> bytes:
    with _readable(path, name), zipfile.ZipFile(path) as archive:
        return archive.read(name)


@contextmanager
def _readable(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a damaged zip makes its reader raise into one sentence.

    That is not ``BadZipFile`` alone: also zlib's errors, those of unknown compressions and of
    encryption, of struct, of decoding names, and more between versions of Python.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise BundleError(f"{path}: {what} cannot be read ({reason})", "fetch it anew") from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def card_summary(card: Card) -> list[tuple[str, str]]:
    """Return what a card says, as pairs of heading and text."""
    contract, metrics = card.contract, card.metrics
    names = [f"{e.name} (optional)" if e.optional else e.name for e in contract.layers]
    unit = "relative" if contract.relative else "metres"
    rows = [
        ("name", card.name),
        ("about", card.about),
        ("task", card.task),
        ("sees", ", ".join(names)),
        ("corrects", _base_text(contract)),
        ("predicts", f"{', '.join(contract.targets)} in {unit}"),
        ("uncertainty", "yes" if contract.uncertainty else "no"),
        ("pixel size", f"{card.pixel_sizes.low:g} to {card.pixel_sizes.high:g} m"),
        ("heights above", str(card.vertical)),
        ("window", f"{card.window.size} px, overlap {card.window.overlap:.0%}"),
        ("runs in", card.runtime_precision),
    ]
    if "mae" in metrics:
        text = f"MAE {metrics['mae']:.3g} m, RMSE {metrics['rmse']:.3g} m"
        rows.append(("validation", f"{text}; its input {metrics['input_mae']:.3g} m MAE"))
    for target, found in metrics.get("by_target", {}).items():
        start = "its input" if target == "dsm" else "the opening it corrects"
        rows.append(
            (f"  {target}", f"MAE {found['mae']:.3g} m; {start} {found['start_mae']:.3g} m")
        )
    without = metrics.get(f"without_{contract.base}")
    if without:
        text = (
            f"MAE {without['mae']:.3g} m of relative heights; {without['input_mae']:.3g} m if flat"
        )
        rows.append((f"  without {contract.base}", text))
    for name, p in card.precision.items():
        text = f"off f32 by {p.mean:.2g} m (mean), {p.p99:.2g} m (99 %), {p.maximum:.2g} m (most)"
        rows.append((name, text))
    scenes = [str(s.get("name", "?")) for s in card.provenance.get("scenes", [])]
    first = ", ".join(scenes[:6]) + (", …" if len(scenes) > 6 else "")
    rows.append(("trained on", f"{len(scenes)} scenes: {first}" if scenes else "unknown"))
    if card.provenance.get("credits"):
        rows.append(("owed to", "; ".join(card.provenance["credits"])))
    rows.append(
        (
            "made",
            f"{card.provenance.get('created', '')} by demiurge "
            f"{card.provenance.get('demiurge', '?')}",
        )
    )
    return rows


def _base_text(contract: Contract) -> str:
    if contract.base is None:
        return "nothing: it predicts heights outright"
    if contract.base in contract.required:
        return contract.base
    return f"{contract.base}; without it heights are relative"
