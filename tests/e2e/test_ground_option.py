"""Option --ground of refine."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

import demiurge
from conftest import make_bundle
from demiurge.errors import UsageError
from demiurge.model.backend.base import Runtime
from demiurge.model.backend.choose import Choice, make_runtime
from demiurge.model.bundle import Bundle
from demiurge.predict import job as job_module
from demiurge.predict import pipeline
from demiurge.predict.checkpoint import Checkpoint
from demiurge.predict.job import Job


def town(path: Path, side: int = 192, hall: int = 70) -> Path:
    """A DSM of a plane with a large flat hall."""
    data = np.full((side, side), 30, np.float32)
    data += np.random.default_rng(0).normal(0, 0.2, data.shape).astype(np.float32)
    first = (side - hall) // 2
    data[first : first + hall, first : first + hall] += 15
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=1, dtype="float32",
        crs="EPSG:32633", transform=rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000),
    ) as file:  # fmt: skip
        file.write(data, 1)
    return path


def test_only_the_bare_earth_changes(tmp_path: Path) -> None:
    dsm = town(tmp_path / "dsm.tif")
    made = demiurge.refine(dsm, tmp_path / "a.tif", ground="network")
    with rasterio.open(made.path) as file:
        plain, tags = file.read(), file.tags()
        names = list(file.descriptions)
    assert "ground" not in tags
    made = demiurge.refine(dsm, tmp_path / "b.tif", ground="interpolated")
    with rasterio.open(made.path) as file:
        changed = file.read()
        assert file.tags()["ground"].startswith("interpolated under large roofs")
    for index, name in enumerate(names):
        if name != "dtm":
            np.testing.assert_array_equal(plain[index], changed[index])
    assert (changed[names.index("dtm")] <= changed[names.index("dsm")] + 1e-3).all()


def test_it_needs_both_surfaces(tmp_path: Path) -> None:
    dsm = town(tmp_path / "dsm.tif")
    with pytest.raises(UsageError, match="needs the DSM, the DTM"):
        demiurge.refine(dsm, tmp_path / "a.tif", ground="interpolated", target="dtm")
    assert not (tmp_path / "a.tif").exists()


def test_a_wider_view_lowers_the_ground_under_a_hall(tmp_path: Path) -> None:
    dsm = town(tmp_path / "dsm.tif", 320, 180)
    planes = {}
    for way in ("network", "wide"):
        how = {} if way == "wide" else {"ground": way}  # the default
        made = demiurge.refine(dsm, tmp_path / f"{way}.tif", **how)
        assert not any("wider view" in text for text in made.notes)
        with rasterio.open(made.path) as file:
            planes[way] = dict(zip(file.descriptions, file.read(), strict=True))
            assert file.tags().get("ground", "").startswith("lowered") == (way == "wide")
    changed = planes["wide"]["dtm"] - planes["network"]["dtm"]
    assert changed.max() <= 1e-4
    assert changed.min() < -1e-3
    assert not changed[:8, :8].any()  # 40 m from the hall and more
    for name in ("dsm", "dsm_uncertainty"):
        np.testing.assert_array_equal(planes["wide"][name], planes["network"][name])


def test_the_bare_earth_alone_is_not_compared(tmp_path: Path) -> None:
    made = demiurge.refine(town(tmp_path / "dsm.tif"), tmp_path / "a.tif", target="dtm")
    assert any("wider view: for that, leave out --target" in text for text in made.notes)


def test_a_bundle_of_the_bare_earth_alone_has_no_wider_view(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b.bundle", targets=("dtm",), pixel=(0.5, 2.0))
    made = demiurge.refine(town(tmp_path / "dsm.tif"), tmp_path / "a.tif", bundle=bundle)
    assert not any("wider view" in text for text in made.notes)


def test_on_a_cluster_this_machine_computes_the_wider_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsm = town(tmp_path / "dsm.tif", 320, 180)

    workers = Choice("torch", "CUDA", "bf16")

    def elsewhere(job: Job, checkpoint: Checkpoint) -> Job:
        pipeline._predict(job, checkpoint)
        return replace(job, choice=workers, runtime=None)

    def here(bundle: Bundle, size: int, choice: Choice) -> Runtime:
        assert choice != workers
        return make_runtime(bundle, size, choice)

    monkeypatch.setattr(pipeline, "run_on_cluster", elsewhere)
    monkeypatch.setattr(job_module, "make_runtime", here)
    made = demiurge.refine(dsm, tmp_path / "a.tif", cluster="local:1")
    with rasterio.open(made.path) as file:
        assert file.tags()["ground"].startswith("lowered")
