"""Bundles: writing, verification and damage."""

import json
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from conftest import make_bundle
from demiurge.errors import BundleError, ResourceError
from demiurge.model.archive import MOST_BYTES
from demiurge.model.bundle import default_bundle, load_bundle, shipped_bundles


def test_a_bundle_is_saved_and_loaded(tmp_path: Path) -> None:
    saved = make_bundle(tmp_path / "a.bundle", layers=("dsm", "ndvi"), optional=("ndvi",))
    loaded = load_bundle(tmp_path / "a.bundle")
    assert loaded.card == saved.card
    assert loaded.contract.required == ("dsm",)
    with zipfile.ZipFile(tmp_path / "a.bundle") as archive:
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_DEFLATED}


def test_equal_models_give_equal_files(tmp_path: Path) -> None:
    make_bundle(tmp_path / "a.bundle")
    first = (tmp_path / "a.bundle").read_bytes()
    make_bundle(tmp_path / "a.bundle")
    assert (tmp_path / "a.bundle").read_bytes() == first


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("exploded"),))


def test_pickles_are_refused_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.bundle").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BundleError, match="is a pickle"):
        load_bundle("a.bundle")
    with zipfile.ZipFile("b.bundle", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb()))
    with pytest.raises(BundleError, match="PyTorch checkpoint"):
        load_bundle("b.bundle")
    assert not Path("exploded").exists()


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.95])
def test_truncated_bundles(tmp_path: Path, keep: float) -> None:
    make_bundle(tmp_path / "a.bundle")
    content = (tmp_path / "a.bundle").read_bytes()
    (tmp_path / "b.bundle").write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(BundleError, match="cut short"):
        load_bundle(tmp_path / "b.bundle")


def rewritten(tmp_path: Path, member: str, content: bytes) -> Path:
    make_bundle(tmp_path / "a.bundle")
    with (
        zipfile.ZipFile(tmp_path / "a.bundle") as old,
        zipfile.ZipFile(tmp_path / "b.bundle", "w") as new,
    ):
        for name in old.namelist():
            new.writestr(name, content if name == member else old.read(name))
    return tmp_path / "b.bundle"


def test_a_changed_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not what its card says"):
        load_bundle(rewritten(tmp_path, "graph.onnx", b"other"))


def test_a_card_of_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="card is not understood"):
        load_bundle(rewritten(tmp_path, "bundle.json", json.dumps({"format": 9}).encode()))
    with pytest.raises(BundleError, match="card is not understood"):
        load_bundle(rewritten(tmp_path, "bundle.json", b"{"))


def test_unknown_members_are_refused(tmp_path: Path) -> None:
    make_bundle(tmp_path / "a.bundle")
    with zipfile.ZipFile(tmp_path / "a.bundle", "a") as archive:
        archive.writestr("../evil.py", "print()")
    with pytest.raises(BundleError, match="evil"):
        load_bundle(tmp_path / "a.bundle")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(BundleError, match="is not a bundle"):
        load_bundle(tmp_path / "a.txt")
    with pytest.raises(BundleError, match="folder"):
        load_bundle(tmp_path)
    with pytest.raises(ResourceError, match="no such bundle"):
        load_bundle(tmp_path / "none")


def test_bundles_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_bundle(tmp_path / "refine.bundle")
    monkeypatch.setenv("DEMIURGE_BUNDLES", str(tmp_path))
    assert "refine" in shipped_bundles()
    assert default_bundle("refine").path == tmp_path / "refine.bundle"
    assert load_bundle("refine").card.name == "refine"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "refine").mkdir()
    assert load_bundle("refine").path == tmp_path / "refine.bundle", "not the folder"
    with pytest.raises(ResourceError, match="no bundle 'imagine' comes"):
        default_bundle("imagine")


def test_random_damage_gives_a_bundle_error(tmp_path: Path) -> None:
    """A damaged bundle loads unchanged or raises BundleError, never another error."""
    intact = make_bundle(tmp_path / "a.bundle", recipe={"filler": list(range(500))})
    content = intact.path.read_bytes()
    random = np.random.default_rng(0)
    damaged = tmp_path / "b.bundle"
    refused = set()
    starts = [match.start() for match in re.finditer(b"PK", content)]
    for trial in range(400):
        changed = bytearray(content)
        for _ in range(random.integers(1, 4)):
            place = int(random.integers(len(changed)))
            if trial % 2:  # headers are few bytes among many
                place = min(int(random.choice(starts) + random.integers(46)), len(changed) - 1)
            changed[place] = int(random.integers(256))
        if trial % 5 == 0:
            changed = changed[: int(random.integers(len(changed)))]
        damaged.write_bytes(changed)
        try:
            loaded = load_bundle(damaged)
        except BundleError as error:
            assert error.exit_code == 3
            assert "\n" not in str(error)
            refused.add(re.sub(r".*bundle: | \(.*|;.*|'.*", "", str(error)))
        else:
            assert loaded.card == intact.card
            assert loaded.graph() == intact.graph()
    assert len(refused) > 4, refused


@pytest.mark.parametrize("member", ["bundle.json", "graph.onnx", "weights.safetensors"])
def test_the_size_of_each_member_is_bounded(
    tmp_path: Path, member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rewritten(tmp_path, member, b"0" * 100_000)
    monkeypatch.setitem(MOST_BYTES, member, 99_999)
    with pytest.raises(BundleError, match=rf"{member} has 100000 bytes, above the limit"):
        load_bundle(path)
