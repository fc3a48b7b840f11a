"""Train `refine` for a number of seconds, on scenes that are simulated at the same time.

``python train.py POOL OUT --seconds 535 --validation VALID/pool`` while ``simulate.py`` fills POOL.
On the first GPU if there is one. OUT gets the running mean of the weights, also every minute:
mean.safetensors, and mean.safetensors.json with the facts about the training for the bundle.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from demiurge.model.contract import Contract
from demiurge.model.network import build_network
from demiurge.training.recipe import Recipe
from learning import Validation, loss_of, make_batch, output_of
from pool import Pool
from refine_setup import GOOD_INPUTS, WAVES, make_contract, make_recipe

#: Seconds between lines of progress, between saved weights and between validations.
SHOW, SAVE, VALIDATE = 10, 60, 75
WARM_UP = 0.04


def elapsed() -> float:
    """Return the seconds since the start of the process: with the time for loading PyTorch."""
    return time.time() - psutil.Process().create_time()


class Mean:
    """Running mean of a network's weights; at first with a shorter memory."""

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network)
        self._slow, self._live = list(self.network.parameters()), list(network.parameters())
        self._buffers = list(zip(self.network.buffers(), network.buffers(), strict=True))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after a step, counted from 0."""
        decay = min(0.998, (step + 1) / (step + 10))
        torch._foreach_lerp_(self._slow, self._live, 1 - decay)
        for mean, live in self._buffers:
            mean.copy_(live)

    def save(self, path: Path, note: dict[str, object]) -> None:
        """Write the weights in float32, and a JSON note next to them."""
        state = {
            name: (value.detach().float() if value.is_floating_point() else value).cpu()
            for name, value in self.network.state_dict().items()
        }
        partial = path.with_name(path.name + ".part")
        save_file({name: value.contiguous() for name, value in state.items()}, partial)
        partial.replace(path)
        path.with_name(path.name + ".json").write_text(json.dumps(note))


def rate_at(share: float, highest: float) -> float:
    """Return the learning rate after a share of the time: a warm-up, then half a cosine."""
    falling = 0.5 * (1 + math.cos(math.pi * max(share - WARM_UP, 0) / (1 - WARM_UP)))
    return highest * min(share / WARM_UP, 1) * falling + 1e-6


def device_name(device: torch.device) -> str:
    """Return a description of the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


class Training:
    """A network, its training data and its progress."""

    def __init__(self, given: argparse.Namespace, recipe: Recipe, device: torch.device) -> None:
        self.given, self.recipe, self.device = given, recipe, device
        self.contract: Contract = make_contract(recipe)
        contract = self.contract
        network = build_network(recipe.network, contract.channels, contract.outputs)
        if given.begin:
            network.load_state_dict(load_file(given.begin))
        self.network = network.to(device, memory_format=torch.channels_last).train()
        self.mean = Mean(self.network)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), weight_decay=1e-2, fused=device.type == "cuda"
        )
        self.pool = Pool(given.pool, device, keep=given.keep, most=given.most)
        self.rng = np.random.default_rng(0)
        self.steps = 0
        self.started = elapsed()

    def wait(self) -> None:
        """Wait for the first scenes, for half of the time at most."""
        while self.pool.count < self.given.first and elapsed() < self.given.seconds / 2:
            time.sleep(0.5)
        if not self.pool.count:
            raise SystemExit(f"{self.given.pool}: no scene appeared; start simulate.py first")
        self.started = elapsed()

    def step(self, share: float) -> Tensor:
        """Take one step at the rate of a share of the time; return the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(share, self.given.rate)
        batch = make_batch(self.pool, self.recipe, self.contract, self.given.groups, self.rng)
        loss = loss_of(output_of(self.network, batch), batch, self.recipe)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.mean.update(self.steps)
        self.steps += 1
        return loss.detach()

    def save(self) -> None:
        """Write the mean weights and the note."""
        chips = self.recipe.chips
        note = {
            "steps": self.steps,
            "chips": self.steps * chips.batch,
            "scenes": self.pool.count,
            "seconds": elapsed() - self.started,
            "size": chips.size,
            "batch": chips.batch,
            "rate": self.given.rate,
            "good": self.recipe.augment.good_inputs,
            "waves": self.recipe.augment.waves,
            "device": device_name(self.device),
        }
        self.mean.save(self.given.output / "mean.safetensors", note)

    def progress(self, loss: float) -> str:
        """Return one line: time, steps, chips, speed, loss, scenes."""
        chips = self.steps * self.recipe.chips.batch
        speed = chips / (elapsed() - self.started)
        return (
            f"{elapsed():4.0f} s step {self.steps} chips {chips} ({speed:.0f}/s) "
            f"loss {loss:.4f} scenes {self.pool.count}"
        )


def run(training: Training, validation: Validation) -> None:
    """Train until the time is up, then save."""
    training.wait()
    started, seconds = training.started, training.given.seconds
    print(
        f"{started:.0f} s: {training.pool.count} scenes, {device_name(training.device)}", flush=True
    )
    losses: list[Tensor] = []
    shown = saved = validated = started
    while (now := elapsed()) < seconds:
        losses.append(training.step((now - started) / (seconds - started)))
        if now - shown > SHOW:
            loss = float(torch.stack(losses).mean())
            losses.clear()
            print(training.progress(loss), flush=True)
            shown = now
            if not math.isfinite(loss):
                raise SystemExit("the loss is not a number; lower --rate")
        if now - saved > SAVE:
            training.save()
            saved = now
        if validation.scenes and now - validated > VALIDATE:
            print("     ", validation.report(training.mean.network), flush=True)
            validated = now
    training.pool.stopped = True
    training.save()
    print(validation.report(training.mean.network), flush=True)
    steps, scenes = training.steps, training.pool.count
    chips = steps * training.recipe.chips.batch
    print(f"{elapsed():.0f} s: {steps} steps, {chips} chips, {scenes} scenes")


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pool", type=Path, help="folder that simulate.py fills")
    parser.add_argument("output", type=Path, help="folder of the weights")
    parser.add_argument("--seconds", type=float, default=535, help="from start to end")
    parser.add_argument("--validation", type=Path, help="folder of scenes from validate.py")
    parser.add_argument("--batch", type=int, default=96, help="chips")
    parser.add_argument("--groups", type=int, default=2, help="pixel sizes in a batch")
    parser.add_argument("--size", type=int, default=256, help="pixels of a chip: a power of two")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--good-inputs", type=float, default=GOOD_INPUTS)
    parser.add_argument("--waves", type=float, default=WAVES)
    parser.add_argument("--begin", type=Path, help="initial weights")
    parser.add_argument("--first", type=int, default=48, help="scenes to wait for")
    parser.add_argument("--most", type=int, default=10000, help="scenes to hold, 3.7 MB each")
    parser.add_argument("--keep", action="store_true", help="leave scenes in the pool")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    # Heights need float32; the network itself runs in bf16.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe = make_recipe(
        f"chips.size={given.size}",
        f"chips.batch={given.batch}",
        f"augment.good_inputs={given.good_inputs}",
        f"augment.waves={given.waves}",
    )
    training = Training(given, recipe, device)
    folder = given.validation or given.output / "no-validation"
    run(training, Validation(folder, training.contract, device))


if __name__ == "__main__":
    main()
