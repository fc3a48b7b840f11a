"""Parallax planes find a known height, in any orientation of the chips."""

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import parallax  # noqa: E402

SIDE, GSD = 48, 0.5
#: Pixels (row, column) per metre of height of the left and the right view.
VIEWS = torch.tensor([[[0.4, -0.6], [-0.2, 0.8]]])


def pair_at(height: float) -> parallax.Pair:
    """Return orthos, made with heights of 0, of a flat surface at another height."""
    texture = np.random.default_rng(0).standard_normal((1, 1, SIDE, SIDE))
    image = torch.nn.functional.avg_pool2d(torch.from_numpy(texture).float(), 3, 1, 1)
    image = image / image.std()
    empty = torch.zeros(1, 1, SIDE, SIDE)
    sides = [
        parallax.displaced(image, (empty - height) * VIEWS[:, i, :, None, None]).nan_to_num()
        for i in (0, 1)
    ]
    return parallax.Pair(sides[0], sides[1], VIEWS)


def best_step(pair: parallax.Pair, offset: float = 0.0) -> tuple[int, float]:
    """Return the step of the highest mean correlation, and the mean likely height in metres."""
    empty = torch.full((1, 1, SIDE, SIDE), offset)
    planes = parallax.planes(pair, empty, GSD, unit=1.0)[0, :, 16:-16, 16:-16]
    n = len(parallax.STEPS)
    return parallax.STEPS[int(planes[:n].mean((1, 2)).argmax())], float(planes[n].mean())


@pytest.mark.parametrize("step", [-2, 0, 2])
def test_height_of_the_surface_correlates_best(step: int) -> None:
    metres = step / float(parallax.parallax_of(VIEWS)[0])
    found, likely = best_step(pair_at(metres))
    assert found == step
    assert likely == pytest.approx(metres, abs=0.3)


def test_offset_shifts_the_hypotheses() -> None:
    metres = 2 / float(parallax.parallax_of(VIEWS)[0])
    assert best_step(pair_at(metres), offset=metres)[0] == 0


def test_exchanged_images_and_flipped_rows_keep_the_sign() -> None:
    pair = pair_at(2 / float(parallax.parallax_of(VIEWS)[0]))
    flipped = parallax.Pair(
        pair.right.flip(-2), pair.left.flip(-2), VIEWS.flip(1) * torch.tensor([-1.0, 1.0])
    )
    assert best_step(flipped)[0] == 2


def test_planes_are_absent_without_parallax() -> None:
    pair = pair_at(0.0)._replace(displacement=VIEWS[:, :1].expand(1, 2, 2))
    assert not parallax.planes(pair, torch.zeros(1, 1, SIDE, SIDE), GSD, 1.0).any()
