"""Make one bundle of several that were trained apart: the mean of their heights.

``python tools/join_networks.py joined.bundle a.bundle b.bundle --scenes scene_1 scene_2 …`` takes
contract and recipe from the first. The others have its layers, targets and network; planes that
they do not see, at the end of the input, as those of the sun, do not change them. Uncertainty,
precision and receptive field are measured on the validation part of the scenes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from demiurge.errors import UsageError
from demiurge.model.bundle import Bundle, load_bundle
from demiurge.model.ensemble import Ensemble
from demiurge.model.export import load_weights
from demiurge.model.network import network_of
from demiurge.model.settings import NetworkSettings
from demiurge.training.dataset import ValidationChips
from demiurge.training.package import card_of, package
from demiurge.training.plan import make_plan
from demiurge.training.recipe import changed
from demiurge.training.scales import at_scales


def members_of(bundles: Sequence[Bundle]) -> list[nn.Module]:
    """Return the networks of bundles, widened to the input of the first.

    Raises
    ------
    UsageError
        If layers, targets or networks differ.
    """
    first = bundles[0]
    networks = []
    for bundle in bundles:
        same = ("names", "targets", "ground", "relief", "heights", "relative", "uncertainty")
        other = [k for k in same if getattr(bundle.contract, k) != getattr(first.contract, k)]
        if [e.normalise for e in bundle.contract.layers] != [
            e.normalise for e in first.contract.layers
        ]:
            other.append("statistics of the images")
        if bundle.card.recipe["network"] != first.card.recipe["network"]:
            other.append("network")
        if other:
            raise UsageError(
                f"{bundle.path}: differs from {first.path} in {', '.join(other)}",
                "join bundles that differ only in their training",
            )
        settings = NetworkSettings(**{**bundle.card.recipe["network"], "pretrained": False})
        own = network_of(settings, bundle.contract)
        load_weights(own, bundle)
        networks.append(_widened(own, network_of(settings, first.contract)))
    return networks


def _widened(own: nn.Module, target: nn.Module) -> nn.Module:
    """Return ``target`` with the weights of ``own``, and zeros for further input planes."""
    state = target.state_dict()
    for name, tensor in own.state_dict().items():
        new = torch.zeros_like(state[name])
        if tensor.ndim == 4:
            new[:, : tensor.shape[1]] = tensor
        else:
            new.copy_(tensor)
        state[name] = new
    target.load_state_dict(state)
    return target


def join(bundles: Sequence[Bundle], scenes: Sequence[Path], out: Path) -> Bundle:
    """Write the bundle of the mean; see the top of this file."""
    first = bundles[0]
    kept = {key: value for key, value in first.card.recipe.items() if key != "split"}
    recipe = changed(kept, [f"network.members={len(bundles)}"], f"of {first.path.name}")
    prepared = make_plan(scenes, recipe, quiet=False)
    network = Ensemble(members_of(bundles), len(first.contract.targets)).eval()
    card = card_of(prepared.scenes, recipe, first.contract, [], 0.0)
    for key in ("seconds", "scenes"):
        card.provenance.pop(key)
    card.provenance.update(
        scenes=_scenes(bundles),
        credits=_unique(c for b in bundles for c in b.card.provenance.get("credits", [])),
        members=[
            {"name": b.path.stem, **{k: v for k, v in b.card.provenance.items() if k in _FACTS}}
            for b in bundles
        ],
    )
    card = card.model_copy(update={"pixel_sizes": first.card.pixel_sizes, "suns": first.card.suns})
    chips = ValidationChips(
        at_scales(prepared.split.validating, recipe.chips), recipe, first.contract, quiet=True
    )
    with tempfile.TemporaryDirectory() as work:
        return package(out, card, network, chips, Path(work), quiet=False)


#: What the card tells of the training of each member.
_FACTS = ("created", "demiurge", "seconds", "machine", "training", "begun_from")


def _scenes(bundles: Sequence[Bundle]) -> list[Any]:
    """Return the scenes of the first bundle, and those of the others that have other names."""
    own, *others = (bundle.card.provenance["scenes"] for bundle in bundles)
    names = {scene["name"] for scene in own}
    return [*own, *_unique(s for part in others for s in part if s["name"] not in names)]


def _unique(entries: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for entry in entries:
        if entry not in found:
            found.append(entry)
    return found


def main() -> None:
    """Join bundles from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("bundles", nargs="+", help="files, or names of shipped ones")
    parser.add_argument("--scenes", type=Path, nargs="+", required=True, help="scene folders")
    given = parser.parse_args()
    joined = join([load_bundle(name) for name in given.bundles], given.scenes, given.output)
    print(joined.path, {k: v for k, v in joined.card.metrics.items() if k != "history"})


if __name__ == "__main__":
    main()
