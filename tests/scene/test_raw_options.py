from __future__ import annotations

import pytest

from demiurge.errors import UsageError
from demiurge.scene.camera import PixelShift
from demiurge.scene.options import read_rpc_files, read_shift


def test_a_shift_has_columns_before_rows() -> None:
    assert read_shift("3,-2.5") == PixelShift(cols=3, rows=-2.5)


@pytest.mark.parametrize("text", ["3", "3,", "3,x", "3,2,1", "nan,0", "inf,1", ""])
def test_texts_that_are_no_shift(text: str) -> None:
    with pytest.raises(UsageError, match="is not a shift"):
        read_shift(text)


def test_rpc_files_by_layer() -> None:
    texts = ["ortho_left=a=b.xml", "ortho_right = c.RPB"]
    assert read_rpc_files(texts) == {"ortho_left": "a=b.xml", "ortho_right": "c.RPB"}


@pytest.mark.parametrize("text", ["left.xml", "=left.xml", "ortho_left="])
def test_texts_that_name_no_rpc_file(text: str) -> None:
    with pytest.raises(UsageError, match="names no layer and file"):
        read_rpc_files([text])
    with pytest.raises(UsageError):
        read_rpc_files(["nonsense=left.xml"])
