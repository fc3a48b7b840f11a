"""Finished rows survive interruptions and full disks."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from demiurge.errors import DataError, ResourceError
from demiurge.predict.checkpoint import Checkpoint, PixelCounts, key_of, open_checkpoint

SHAPE = (2, 6, 5)


def rows(value: float, count: int, width: int = 5) -> np.ndarray:
    planes = np.stack([np.full((count, width), value), np.full((count, width), -value)])
    return planes.astype(np.float32)


def content(checkpoint: Checkpoint) -> np.ndarray:
    return np.fromfile(checkpoint.rows, np.float32).reshape(SHAPE)


def test_rows_are_stored_by_part_and_position(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "k", SHAPE)
    checkpoint.write(0, 0, 0, rows(1, 2, 3))
    checkpoint.write(1, 0, 3, rows(2, 6, 2))
    checkpoint.write(0, 2, 0, rows(3, 1, 3))
    checkpoint.counts.filled = 7
    checkpoint.write(0, 3, 0, rows(4, 1, 3))
    checkpoint.close()
    again = Checkpoint(tmp_path, "k", SHAPE)
    assert (again.done(0), again.done(1), again.done(2)) == (4, 6, 0)
    assert again.counts.filled == 7
    found = content(again)
    np.testing.assert_array_equal(found[0, :4, 0], [1, 1, 3, 4])
    np.testing.assert_array_equal(found[1, :, 4], -2)


def test_another_key_discards_the_rows(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "k", SHAPE)
    checkpoint.write(0, 0, 0, rows(1, 2))
    checkpoint.close()
    other = Checkpoint(tmp_path, "other", SHAPE)
    assert other.done(0) == 0
    assert not other.any_done
    assert not other.rows.exists()


def test_a_damaged_checkpoint_is_discarded(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"key": "k", "done"')
    assert Checkpoint(tmp_path, "k", SHAPE).done(0) == 0


def test_parts_of_other_processes_are_counted(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "k", SHAPE)
    (tmp_path / "blocks").mkdir()
    checkpoint.record("a", PixelCounts(10, 2, 1.5, 3))
    checkpoint.record("b", PixelCounts(10, 0, 2.5, 1))
    again = Checkpoint(tmp_path, "k", SHAPE)
    assert again.counts == PixelCounts(20, 2, 4.0, 4)
    assert again.done("a")
    assert not again.done("c")


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (KeyboardInterrupt(), True),
        (SystemExit(143), True),
        (OSError(28, "No space left on device"), True),
        (ResourceError("disk full", "make room"), True),
        (DataError("bad", "mend it"), False),
    ],
)
def test_the_error_decides_whether_the_rows_are_kept(
    tmp_path: Path, error: BaseException, kept: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.tif"
    with pytest.raises(type(error)), open_checkpoint(out, "k", SHAPE, quiet=False) as checkpoint:
        checkpoint.write(0, 0, 0, rows(1, 2))
        raise error
    folder = tmp_path / ".out.tif.partial"
    assert folder.exists() == kept
    assert ("same command to resume" in capsys.readouterr().err) == kept
    if kept:
        with open_checkpoint(out, "k", SHAPE, quiet=True) as checkpoint:
            assert checkpoint.done(0) == 2
    assert not folder.exists(), "a checkpoint is removed when the result is complete"


def test_a_checkpoint_without_rows_is_removed(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        open_checkpoint(tmp_path / "out.tif", "k", SHAPE, quiet=True),
    ):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from demiurge.errors import UsageError\n"
        "from demiurge.predict.checkpoint import open_checkpoint\n"
        "try:\n"
        "    with open_checkpoint(Path(sys.argv[1]), 'k', (2, 6, 5), quiet=True): pass\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    out = tmp_path / "out.tif"
    with open_checkpoint(out, "k", SHAPE, quiet=True) as checkpoint:
        checkpoint.write(0, 0, 0, rows(1, 2))
        done = subprocess.run(
            [sys.executable, "-c", code, str(out)], capture_output=True, text=True, check=True
        )
        assert "another process is writing it" in done.stdout
        assert checkpoint.rows.exists()
    with open_checkpoint(out, "k", SHAPE, quiet=True):
        pass


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ResourceError, match="cannot be written"),
        open_checkpoint(tmp_path / "no" / "out.tif", "k", SHAPE, quiet=True),
    ):
        pass


def test_keys_differ_with_the_content() -> None:
    assert key_of({"a": 1, "b": (1, 2)}) == key_of({"b": (1, 2), "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})
