import pytest

from demiurge.progress import progress


def test_plain_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("work", 3, unit="parts") as advance:
        for _ in range(3):
            advance(1, "well")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "work: 3/3 parts  well\n"


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("work", 1, quiet=True) as advance:
        advance()
    assert capsys.readouterr() == ("", "")
