"""Test-time augmentation by orientations."""

from pathlib import Path

import numpy as np
import pytest

from conftest import blur_graph, make_bundle, terrain, write_raster
from demiurge import Options, refine
from demiurge.errors import UsageError
from demiurge.model.backend.openvino import OpenVinoRuntime
from demiurge.model.bundle import load_bundle
from demiurge.predict.augmentation import ORIENTATIONS, orientations
from demiurge.predict.inference import Network, predict_rows
from demiurge.predict.tiling import tile
from demiurge.scene.open import scene_from_files


@pytest.mark.parametrize("count", list(ORIENTATIONS))
def test_orientations_are_distinct_and_reversible(count: int) -> None:
    planes = np.arange(2 * 5 * 5, dtype=np.float32).reshape(2, 5, 5)
    seen = set()
    for turn in ORIENTATIONS[count]:
        moved = turn.apply(planes)
        np.testing.assert_array_equal(turn.undo(moved), planes)
        seen.add(moved.tobytes())
    assert len(seen) == count


def test_other_counts_are_refused() -> None:
    with pytest.raises(UsageError, match="--tta is 3"):
        orientations(load_bundle("refine").card, 3)


def predicted(bundle, scene, count: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    plan = tile(scene.shape, 64, 0.25)
    runtime = OpenVinoRuntime(bundle, 64, "f32")
    rows = predict_rows(scene, Network(bundle, runtime, ORIENTATIONS[count]), plan)
    return np.concatenate([r.values for r in rows], axis=1)


def test_an_isotropic_network_gives_the_same_in_all_orientations(tmp_path: Path) -> None:
    scene = scene_from_files({"dsm": write_raster(tmp_path / "dsm.tif", terrain())})
    bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2), scale=1.0)
    one, eight = predicted(bundle, scene, 1), predicted(bundle, scene, 8)
    np.testing.assert_allclose(one[0], eight[0], atol=1e-3)
    np.testing.assert_allclose(one[1], eight[1], rtol=1e-3, atol=1e-3)


def test_variance_between_orientations_adds_to_the_uncertainty(tmp_path: Path) -> None:
    """A network with an offset of 3 pixels disagrees with itself between orientations."""
    scene = scene_from_files({"dsm": write_raster(tmp_path / "dsm.tif", terrain())})
    bundle = make_bundle(tmp_path / "a.bundle", graph=blur_graph(2, 2, east=3), scale=1.0)
    one, four = predicted(bundle, scene, 1), predicted(bundle, scene, 4)
    np.testing.assert_allclose(one[1], np.sqrt(2), rtol=1e-5)
    assert (four[1] >= one[1] - 1e-5).all()
    assert four[1].max() > 1.05 * np.sqrt(2)
    # Offsets to the east and west cancel in the mean.
    centred = make_bundle(tmp_path / "b.bundle", graph=blur_graph(2, 2, east=0), scale=1.0)
    expected = predicted(centred, scene, 1)[0]
    inner = (slice(20, -20), slice(20, -20))
    assert np.abs(four[0] - expected)[inner].mean() < 0.5 * np.abs(one[0] - expected)[inner].mean()


@pytest.mark.parametrize(
    ("augment", "learned"),
    [
        ({"flip": False, "diagonal": False}, {1}),
        ({"flip": False, "diagonal": True}, {1, 2}),
        ({"flip": True, "diagonal": False}, {1, 2, 4, 8}),
        (None, {1}),
    ],
)
def test_only_orientations_of_the_recipe_are_accepted(
    tmp_path: Path, augment: dict[str, bool] | None, learned: set[int]
) -> None:
    dsm = write_raster(tmp_path / "dsm.tif", terrain(40, 40))
    recipe = {} if augment is None else {"augment": augment}
    bundle = make_bundle(tmp_path / "a.bundle", recipe=recipe)
    for count in ORIENTATIONS:
        options = Options(tta=count, overwrite=True)
        if count in learned:
            refine(dsm, tmp_path / "o.tif", bundle=bundle, options=options)
        else:
            with pytest.raises(UsageError, match=f"--tta is {count}, but bundle 'a' was not"):
                refine(dsm, tmp_path / "no.tif", bundle=bundle, options=options)
    assert not (tmp_path / "no.tif").exists()


def test_shipped_bundles_refuse_untrained_orientations() -> None:
    generate, refined = load_bundle("generate").card, load_bundle("refine").card
    assert len(orientations(refined, 8)) == 8
    with pytest.raises(UsageError, match="leave --tta out"):
        orientations(generate, 4)
