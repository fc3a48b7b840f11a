"""Block adjustment of windows of relative heights."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import demiurge
from conftest import LEFT, TOP, centring_graph, make_bundle, write_raster
from demiurge import Options
from demiurge.errors import DataError
from demiurge.predict import job, pipeline
from demiurge.predict.checkpoint import Checkpoint
from demiurge.predict.heights.adjustment import (
    Adjustment,
    Samples,
    adjust,
    find_overlaps,
    load_adjustment,
)
from demiurge.predict.heights.solver import SCALES, PriorSamples, mismatch, solve
from demiurge.predict.job import tiling_for
from demiurge.scene.grid import Window
from demiurge.scene.open import scene_from_files

SIZE, STRIDE, STEP = 64, 48, 4


def hills(rows: int, columns: int) -> np.ndarray:
    """Return long waves, so that the mean differs between windows; float32, metres."""
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    heights = 300 + 80 * np.sin(x / 90) + 60 * np.cos(y / 70 + x / 150) + 5 * np.sin(x / 7 + y / 9)
    return heights.astype(np.float32)


def windows_of(truth: np.ndarray, scales: bool, seed: int = 0):  # type: ignore[no-untyped-def]
    """Return windows of the truth less their mean, perhaps each divided by another scale."""
    rng = np.random.default_rng(seed)
    places, samples, true = {}, [], []
    for row in range(0, truth.shape[0] - SIZE + 1, STRIDE):
        for column in range(0, truth.shape[1] - SIZE + 1, STRIDE):
            part = truth[row : row + SIZE, column : column + SIZE].astype(np.float64)
            scale = rng.uniform(0.7, 1.4) if scales else 1.0
            rows = np.arange(-(-row // STEP) * STEP, row + SIZE, STEP)
            columns = np.arange(-(-column // STEP) * STEP, column + SIZE, STEP)
            heights = ((part - part.mean()) / scale)[np.ix_(rows - row, columns - column)]
            places[row, column] = len(samples)
            samples.append(Samples(rows, columns, heights.astype(np.float32)))
            true.append((scale, part.mean()))
    return places, samples, np.array(true)


def test_offsets_are_solved_up_to_a_constant() -> None:
    places, samples, true = windows_of(hills(160, 640), scales=False)
    pairs = find_overlaps(places, samples, SIZE)
    scales, offsets = solve(pairs, None, len(samples))
    assert (scales == 1).all(), "scales need a prior"
    centred = offsets - offsets.mean()
    np.testing.assert_allclose(centred, true[:, 1] - true[:, 1].mean(), atol=0.05)
    assert mismatch(pairs, scales, offsets) < 0.01
    assert mismatch(pairs, scales, np.zeros(len(samples))) > 5


def test_gross_errors_in_an_overlap_have_little_influence() -> None:
    places, samples, true = windows_of(hills(160, 640), scales=False)
    rng = np.random.default_rng(0)
    for _, _, heights in samples:
        heights[rng.random(heights.shape) < 0.1] += 100
    _, offsets = solve(find_overlaps(places, samples, SIZE), None, len(samples))
    np.testing.assert_allclose(offsets - offsets.mean(), true[:, 1] - true[:, 1].mean(), atol=2.0)


def test_a_coarse_prior_gives_scales_and_metres() -> None:
    truth = hills(160, 640)
    places, samples, true = windows_of(truth, scales=True)
    numbers, heights, known = [], [], []
    for number, (rows, columns, values) in enumerate(samples):
        numbers.append(np.full(values.size, number))
        heights.append(values.ravel())
        # 8 × 8 pixels share one height.
        known.append(truth[np.ix_(rows // 8 * 8, columns // 8 * 8)].ravel())
    prior = PriorSamples(
        np.concatenate(numbers),
        np.concatenate(heights).astype(float),
        np.concatenate(known).astype(float),
    )
    scales, offsets = solve(find_overlaps(places, samples, SIZE), prior, len(samples))
    np.testing.assert_allclose(scales, true[:, 0], rtol=0.1)
    np.testing.assert_allclose(offsets, true[:, 1], atol=5)


def test_no_window_is_inverted() -> None:
    """In some windows the network takes hills for valleys."""
    truth = hills(160, 640)
    places, samples, true = windows_of(truth, scales=True)
    for number in (3, 10, 11):
        samples[number] = samples[number]._replace(heights=-samples[number].heights)
    known = [truth[np.ix_(rows // 8 * 8, columns // 8 * 8)] for rows, columns, _ in samples]
    prior = PriorSamples(
        np.repeat(np.arange(len(samples)), [k.size for k in known]),
        np.concatenate([s.heights.ravel() for s in samples]).astype(float),
        np.concatenate([k.ravel() for k in known]).astype(float),
    )
    scales, offsets = solve(find_overlaps(places, samples, SIZE), prior, len(samples))
    adjustment = Adjustment(places, scales, offsets, 0, 0, absolute=True)
    assert scales.min() == SCALES[0]
    assert scales.max() <= SCALES[1]
    assert set(np.flatnonzero(adjustment.at_bound)) == {3, 10, 11}
    right = ~adjustment.at_bound
    np.testing.assert_allclose(scales[right], true[right, 0], rtol=0.15)
    row, column = list(places)[10]
    values = np.ones((2, 4, 4), np.float32)
    assert (adjustment.apply(row, column, values, 1)[1] >= 1).all(), "flattened, not more certain"


def test_a_single_window_is_unchanged() -> None:
    places, samples, _ = windows_of(hills(64, 64), scales=False)
    scales, offsets = solve(find_overlaps(places, samples, SIZE), None, 1)
    assert (scales, offsets) == ([1], [0])


def test_adjusted_windows_agree_with_truth_and_survive_a_file(tmp_path: Path) -> None:
    truth = hills(160, 640)
    rng = np.random.default_rng(0)
    parts = [
        (Window(r, c, SIZE, SIZE), truth[r : r + SIZE, c : c + SIZE])
        for r in range(0, truth.shape[0] - SIZE + 1, STRIDE)
        for c in range(0, truth.shape[1] - SIZE + 1, STRIDE)
    ]
    windows = [(w, (p - p.mean()) / np.float32(rng.uniform(0.7, 1.4)), p) for w, p in parts]
    adjustment = adjust(windows, SIZE, SIZE - STRIDE)
    assert adjustment.absolute
    assert adjustment.after < 0.05
    assert adjustment.before > 20
    adjustment.save(tmp_path / "a.npz", "key")
    loaded = load_adjustment(tmp_path / "a.npz", "key")
    assert loaded is not None
    errors = [loaded.apply(w.row, w.col, h[None], 1)[0] - prior for w, h, prior in windows]
    assert np.abs(errors).mean() < 0.5
    assert load_adjustment(tmp_path / "a.npz", "other key") is None
    assert load_adjustment(tmp_path / "none.npz", "key") is None
    relative = adjust([(w, h, None) for w, h, _ in windows], SIZE, SIZE - STRIDE)
    assert not relative.absolute
    assert (relative.scales == 1).all()


@pytest.fixture
def relative(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Return the truth, an image equal to it, and a network that knows it up to an offset."""
    truth = hills(200, 700)
    image = write_raster(tmp_path / "image.tif", truth, names=["red"])
    bundle = make_bundle(
        tmp_path / "r.bundle", task="generate", layers=("red",), base=None, targets=("dsm",),
        relative=True, graph=centring_graph(), scale=1.0,
    )  # fmt: skip
    return truth, image, bundle


def _errors(path: Path, truth: np.ndarray) -> np.ndarray:
    with rasterio.open(path) as file:
        actual = file.read(1) - truth
    return actual - actual.mean()


def test_a_large_scene_is_one_surface(relative, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    truth, image, bundle = relative
    one = demiurge.generate(image, tmp_path / "one.tif", bundle=bundle)
    assert "windows were adjusted to each other" in " ".join(one.notes)
    naive = Options(reconcile=False)
    other = demiurge.generate(image, tmp_path / "naive.tif", bundle=bundle, options=naive)
    assert not any("level" in note for note in other.notes)
    assert np.abs(_errors(one.path, truth)).max() < 0.5
    assert np.abs(_errors(other.path, truth)).mean() > 10


def test_windows_of_relative_heights_have_the_size_of_the_training_chips(tmp_path: Path) -> None:
    """A network was not trained on height differences across larger windows."""
    image = write_raster(tmp_path / "image.tif", hills(200, 700), names=["red"])
    scene = scene_from_files({"red": image})
    small = {"chips": {"size": 96}}

    def side(base: str | None = None, recipe: dict[str, object] = small, **options: object) -> int:
        bundle = make_bundle(
            tmp_path / "b.bundle", task="generate", layers=("red", "dem_prior"),
            optional=("dem_prior",), base=base, relative=base is None, window=256, recipe=recipe,
        )  # fmt: skip
        return tiling_for(scene, bundle, Options(**options)).size

    assert side() == 96
    assert side(base="dem_prior") == 96, "the base is missing"
    assert side(reconcile=False) == 256, "windows are not adjusted"
    assert side(window=128) == 128
    assert side(recipe={}) == 256
    assert side(recipe={"chips": {"size": 512}}) == 256
    assert side(recipe={"chips": {"size": 32}}) == 64, "no window is smaller"


def test_windows_of_relative_heights_do_not_become_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_MOST_WINDOWS", 20)
    image = write_raster(tmp_path / "image.tif", hills(200, 700), names=["red"])
    bundle = make_bundle(
        tmp_path / "b.bundle", task="generate", layers=("red",), base=None, relative=True,
        window=512, recipe={"chips": {"size": 64}},
    )  # fmt: skip
    tiling = tiling_for(scene_from_files({"red": image}), bundle, Options())
    assert (tiling.size, tiling.count) == (128, 14), "windows of 64 px would be 60"


def test_a_prior_that_the_network_does_not_see_makes_heights_absolute(
    relative, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    truth, image, bundle = relative
    coarse = truth.reshape(20, 10, 70, 10).mean(axis=(1, 3))
    prior = write_raster(tmp_path / "prior.tif", coarse, transform=from_origin(LEFT, TOP, 20, 20))
    surface = demiurge.generate(image, tmp_path / "out.tif", bundle=bundle, prior=prior)
    assert "windows were adjusted to the prior" in " ".join(surface.notes)
    with rasterio.open(surface.path) as file:
        assert file.descriptions == ("dsm", "dsm_uncertainty")
        assert file.units[0] == "m"
        assert file.tags()["units"] == "metre"
        assert "prior.tif" in file.tags()["inputs"]
        error = file.read(1) - truth
    assert np.abs(error).mean() < 2


def test_relief_that_runs_against_the_prior_is_refused(relative, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    truth, image, bundle = relative
    coarse = 600 - truth.reshape(20, 10, 70, 10).mean(axis=(1, 3))
    prior = write_raster(tmp_path / "prior.tif", coarse, transform=from_origin(LEFT, TOP, 20, 20))
    with pytest.raises(DataError, match="runs against the prior nearly everywhere"):
        demiurge.generate(image, tmp_path / "out.tif", bundle=bundle, prior=prior)
    assert not (tmp_path / "out.tif").exists()


def test_a_resumed_run_reads_the_adjustment(
    relative, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    _, image, bundle = relative
    straight = demiurge.generate(image, tmp_path / "s.tif", bundle=bundle)
    put, calls = Checkpoint.write, []

    def stop(self: Checkpoint, *arguments: object) -> None:
        put(self, *arguments)  # type: ignore[arg-type]
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            demiurge.generate(image, tmp_path / "r.tif", bundle=bundle)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "adjust", None)
        resumed = demiurge.generate(image, tmp_path / "r.tif", bundle=bundle)
    with rasterio.open(straight.path) as one, rasterio.open(resumed.path) as two:
        np.testing.assert_array_equal(one.read(), two.read())
