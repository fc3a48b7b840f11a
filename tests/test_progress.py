import pytest

from demiurge.progress import progress


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("work", 3, unit="parts") as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")


def test_plain_lines_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demiurge.progress._SECONDS", 0.0)
    with progress("work", 3, unit="parts") as advance:
        advance(1, "well")
        advance(2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "work: 1/3 parts  well\nwork: 3/3 parts\n"


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("work", 1, quiet=True) as advance:
        advance()
    assert capsys.readouterr() == ("", "")
