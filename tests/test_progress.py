import json

import pytest

from demiurge.progress import _clock, progress


def test_short_work_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("work", 3, unit="parts") as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")


def test_plain_lines_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demiurge.progress._FIRST", 0.0)
    monkeypatch.setattr("demiurge.progress._SECONDS", 0.0)
    with progress("work", 3, unit="parts") as advance:
        advance(1, "well")
        advance(2)
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = captured.err.splitlines()
    assert first.startswith("work: 1/3 parts, ")
    assert first.endswith(" left  well")
    assert second.startswith("work: 3/3 parts, ")
    assert second.endswith(" 0:00 left")


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("work", 1, quiet=True) as advance:
        advance()
    assert capsys.readouterr() == ("", "")


def test_lines_show_speed_and_remaining_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("demiurge.progress.time.monotonic", lambda: now[0])
    with progress("refine", 1000, unit="Mpx") as advance:
        now[0] += 1
        advance(0)  # too soon for any line
        now[0] += 1
        advance(50)
        now[0] += 18
        advance(50)
        now[0] += 3
        advance(10)  # too soon for another line
        now[0] += 17
        advance(90)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "refine: 50/1000 Mpx, 25/s, 0:38 left",
        "refine: 100/1000 Mpx, 5/s, 3:00 left",
        "refine: 200/1000 Mpx, 5/s, 2:40 left",
    ]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3725, "1:02:05")])
def test_clocks(seconds: float, text: str) -> None:
    assert _clock(seconds) == text


def events(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_lines_show_start_end_and_few_in_between(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("demiurge.progress.time.monotonic", lambda: now[0])
    monkeypatch.setenv("DEMIURGE_PROGRESS", "json")
    with progress("refine", 8, unit="Mpx") as advance:
        advance(1)  # too soon
        now[0] += 1
        advance(2, "row 3")
        advance(2.5)  # too soon
        advance(2.5)
    found = events(capsys.readouterr().err)
    common = {"event": "progress", "stage": "refine", "total": 8, "unit": "Mpx"}
    assert found == [
        common | {"done": 0, "note": ""},
        common | {"done": 3, "note": "row 3"},
        common | {"done": 8, "note": "row 3"},
    ]


def test_json_lines_of_quiet_commands_have_no_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEMIURGE_PROGRESS", "json")
    with progress("work", 1, quiet=True) as advance:
        advance()
    assert capsys.readouterr() == ("", "")
