"""Outputs never replace inputs, replace files only with overwrite, and appear when complete."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from conftest import write_raster
from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.outputs import atomic_file, atomic_files, atomic_folder, check_output, refuse_inputs


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with atomic_file(target) as partial:
        partial.write_text("half")
        assert not target.exists()
    assert target.read_text() == "half"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(target, overwrite=True) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_several_files_appear_together_or_not_at_all(tmp_path: Path) -> None:
    places = [tmp_path / "m.obj", tmp_path / "m.mtl"]
    with pytest.raises(RuntimeError), atomic_files(places) as partials:
        partials[1].write_text("first")
        raise RuntimeError
    assert not names(tmp_path)
    (tmp_path / "m.mtl").write_text("mine")
    with pytest.raises(UsageError, match=r"m\.mtl: exists already"), atomic_files(places):
        pass
    assert (tmp_path / "m.mtl").read_text() == "mine"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left.*free some space"),
        (OSError(errno.EFBIG, "File too large"), "File too large.*free some space"),
        (PermissionError(errno.EACCES, "Permission denied"), "choose a writable folder"),
    ],
)
def test_a_write_error_is_one_sentence(tmp_path: Path, error: OSError, message: str) -> None:
    with pytest.raises(ResourceError, match=message), atomic_file(tmp_path / "a.txt") as partial:
        partial.write_text("half")
        raise error
    with pytest.raises(ResourceError, match=message), atomic_folder(tmp_path / "a") as folder:
        (folder / "b").write_text("half")
        raise error
    assert not names(tmp_path)


def test_an_input_that_cannot_be_read_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    """GDAL raises OSErrors without an errno for inputs that cannot be read."""
    from rasterio.errors import RasterioIOError

    message = r"a raster cannot be read \(block 3 is damaged\)"
    with pytest.raises(DataError, match=message), atomic_file(tmp_path / "a.txt"):
        raise RasterioIOError("block 3 is damaged")
    with pytest.raises(DataError, match=message), atomic_folder(tmp_path / "a"):
        raise RasterioIOError("block 3 is damaged")
    assert not names(tmp_path)


def test_a_folder_without_the_marker_is_not_replaced(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter").write_text("dear")
    with pytest.raises(UsageError), atomic_folder(home, overwrite=True, marker="scene.yaml"):
        pass
    assert (home / "letter").read_text() == "dear"


def test_a_folder_with_other_entries_is_not_replaced(tmp_path: Path) -> None:
    home = tmp_path / "scene"
    home.mkdir()
    for name in ("scene.yaml", "stack.tif", "stack.tif.aux.xml"):
        (home / name).write_text("old")
    kind = {"overwrite": True, "marker": "scene.yaml", "contents": ("scene.yaml", "stack.tif")}
    with atomic_folder(home, **kind) as partial:
        (partial / "scene.yaml").write_text("new")
    assert names(home) == ["scene.yaml"]
    (home / "better.tif").write_text("hours of work")
    with pytest.raises(UsageError, match=r"holds better\.tif"), atomic_folder(home, **kind):
        pass
    assert names(home) == ["better.tif", "scene.yaml"]
    assert names(tmp_path) == ["scene"]


def test_a_link_to_a_folder_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "scene"
    real.mkdir()
    (real / "scene.yaml").write_text("old")
    link.symlink_to(real)
    with atomic_folder(link, overwrite=True, marker="scene.yaml") as partial:
        (partial / "scene.yaml").write_text("new")
    assert (real / "scene.yaml").read_text() == "old"
    assert (link / "scene.yaml").read_text() == "new"
    assert names(tmp_path) == ["real", "scene"]


def test_nothing_is_replaced_without_overwrite(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(UsageError, match="--overwrite"):
        check_output(tmp_path / "a", overwrite=False)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="no folder"):
        check_output(tmp_path / "no" / "a", overwrite=False)


def test_the_suffix_must_be_permitted(tmp_path: Path) -> None:
    for name in ("a.png", "a.jp2", "a.asc", "a"):
        with pytest.raises(UsageError, match=r"name it with one of \.tif, \.laz"):
            check_output(tmp_path / name, overwrite=False, suffixes=(".tif", ".laz"))
    check_output(tmp_path / "a.TIF", overwrite=False, suffixes=(".tif",))
    (tmp_path / "a.tif").mkdir()
    with pytest.raises(UsageError, match="is a folder, not a file"):
        check_output(tmp_path / "a.tif", overwrite=True, suffixes=(".tif",))


def test_sidecars_of_the_replaced_raster_are_removed(tmp_path: Path) -> None:
    target, mask = tmp_path / "a.tif", tmp_path / "a.tif.msk"
    mask.write_text("of a raster that is gone")
    with pytest.raises(UsageError, match=r"a\.tif\.msk: exists already and would be read"):
        check_output(target, overwrite=False)
    with atomic_file(target, overwrite=True) as partial:
        partial.write_text("new")
    assert names(tmp_path) == ["a.tif"]


def test_an_input_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = write_raster(tmp_path / "a b#1.tif", np.ones((4, 5), np.float32))
    other = write_raster(tmp_path / "other.tif", np.ones((4, 5), np.float32))
    Path("sub").mkdir()
    Path("soft.tif").symlink_to(place)
    os.link(place, "hard.tif")
    spellings = [
        place, "a b#1.tif", "a b#1.tif:1", "sub/../a b#1.tif", f"{place}:2", place.as_uri(),
        "soft.tif", "hard.tif", tmp_path, f'GTIFF_RAW:"{place}":1',
    ]  # fmt: skip
    for output in (place, Path("a b#1.tif"), Path("soft.tif"), Path("hard.tif")):
        for given in spellings:
            with pytest.raises(UsageError, match="is an input of this command"):
                check_output(output, overwrite=True, inputs=[other, given])
    assert Path("soft.tif").is_symlink()
    remote = ["https://example.com/a.tif", "/vsis3/b/a.tif", "missing/no.tif", "no.tif:2"]
    check_output(Path("other.tif"), overwrite=True, inputs=[place, *remote])
    check_output(Path("new.tif"), overwrite=False, inputs=[tmp_path])


def test_files_of_a_virtual_raster_are_inputs(tmp_path: Path) -> None:
    import rasterio.shutil

    part = write_raster(tmp_path / "part.tif", np.ones((4, 5), np.float32))
    (tmp_path / "part.tif.aux.xml").write_text("<PAMDataset/>")
    rasterio.shutil.copy(part, tmp_path / "inner.vrt", driver="VRT")
    inner = (tmp_path / "inner.vrt").read_text()
    (tmp_path / "outer.vrt").write_text(inner.replace("part.tif", "inner.vrt"))
    for name in ("part.tif", "inner.vrt", "part.tif.aux.xml"):
        with pytest.raises(UsageError, match="is an input"):
            refuse_inputs([tmp_path / name], [tmp_path / "outer.vrt"])


def test_a_folder_that_holds_an_input_is_never_replaced(tmp_path: Path) -> None:
    home = tmp_path / "scene"
    home.mkdir()
    (home / "scene.yaml").write_text("old")
    (home / "raw.tif").write_text("mine")
    folder = atomic_folder(home, overwrite=True, marker="scene.yaml", inputs=[home / "raw.tif:1"])
    with pytest.raises(UsageError, match="is an input"), folder:
        pass
    assert (home / "raw.tif").read_text() == "mine"
