from pathlib import Path

import pytest

from demiurge.errors import ResourceError, UsageError
from demiurge.outputs import check_output, whole_file, whole_folder


def test_a_file_appears_only_when_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with whole_file(target) as partial:
        partial.write_text("half")
        assert not target.exists()
    assert target.read_text() == "half"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), whole_file(target, overwrite=True) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_only_if_it_is_of_its_kind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter").write_text("dear")
    with pytest.raises(UsageError), whole_folder(home, overwrite=True, marker="scene.yaml"):
        pass
    assert (home / "letter").read_text() == "dear"


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(UsageError, match="--overwrite"):
        check_output(tmp_path / "a", overwrite=False)


def test_a_missing_folder_is_told_before_work(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="no folder"):
        check_output(tmp_path / "no" / "a", overwrite=False)
