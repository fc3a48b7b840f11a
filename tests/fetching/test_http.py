"""The client against a real server on loopback: faults, ranges, complete bodies."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from demiurge.errors import ResourceError
from demiurge.fetching.http import Client, DeniedError, Limits, RangeFile, shown

from .faulty import Fault, Server, serving

pytest.importorskip("requests")
QUICK = Limits(connect=1, silence=0.3, total=2, tries=3, pause=0.01, longest_pause=0.05)
CONTENT = np.random.default_rng(0).bytes(700_001)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "a.bin").write_bytes(CONTENT)
    (tmp_path / "a.json").write_text('{"a": 1}')
    with serving(tmp_path) as server:
        yield server


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers={"Retry-After": "0"}, times=2),
        Fault(status=500, times=2),
        Fault(status=503, times=1, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        Fault(truncate=True, times=2),
        Fault(slow=0.6, times=1),
    ],
    ids=["429", "500", "503", "truncated", "slow"],
)
def test_passing_faults_end_in_the_complete_body(server: Server, fault: Fault) -> None:
    server.faults["a.bin"] = fault
    assert Client(QUICK).get(f"{server.url}/a.bin") == CONTENT


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=500, times=-1), r"HTTP 500, 3 tries"),
        (Fault(truncate=True, times=-1), "the answer was cut off"),
        (Fault(slow=0.6, times=-1), "cannot be reached"),
        (Fault(status=410, times=-1), "HTTP 410"),
    ],
    ids=["500", "truncated", "slow", "410"],
)
def test_lasting_faults_end_in_one_sentence(server: Server, fault: Fault, words: str) -> None:
    server.faults["a.bin"] = fault
    with pytest.raises(ResourceError, match=words) as error:
        Client(QUICK).get(f"{server.url}/a.bin?sig=secret")
    assert "secret" not in str(error.value)


def test_a_missing_file_and_a_missing_server_are_named(server: Server) -> None:
    with pytest.raises(ResourceError, match=r"b\.bin: does not exist"):
        Client(QUICK).get(f"{server.url}/b.bin")
    with pytest.raises(ResourceError, match="connection refused"):
        Client(QUICK).get("http://127.0.0.1:9/a")
    with pytest.raises(ResourceError, match="is not an HTTP URL"):
        Client(QUICK).get("nonsense")


def test_an_expired_signature_is_renewed_once(server: Server) -> None:
    signatures: list[str] = []

    def sign(url: str, fresh: bool) -> str:
        assert fresh == (len(signatures) % 2 == 1)
        signatures.append(str(len(signatures)))
        return f"{url}?sig={signatures[-1]}"

    server.accepts = lambda signature: signature == "1"
    assert Client(QUICK, sign=sign).get(f"{server.url}/a.bin") == CONTENT
    assert signatures == ["0", "1"]
    server.accepts = lambda signature: False
    with pytest.raises(DeniedError, match="access is denied"):
        Client(QUICK, sign=sign).get(f"{server.url}/a.bin")
    assert len(signatures) == 4


def test_ranges(server: Server) -> None:
    client, url = Client(QUICK), f"{server.url}/a.bin"
    assert client.size(url) == len(CONTENT)
    assert client.read_range(url, 100, 50) == CONTENT[100:150]
    assert client.read_range(url, len(CONTENT) - 10, 50) == CONTENT[-10:]
    assert client.read_range(url, len(CONTENT) + 5, 50) == b""
    server.ranges = False
    with pytest.raises(ResourceError, match="cannot send parts"):
        client.read_range(url, 100, 50)


def test_a_remote_file_reads_like_a_local_one(server: Server) -> None:
    remote, local = RangeFile(f"{server.url}/a.bin", Client(QUICK)), io.BytesIO(CONTENT)
    rng = np.random.default_rng(1)
    for _ in range(30):
        start, size = int(rng.integers(0, 700_001)), int(rng.integers(0, 400_000))
        remote.seek(start)
        local.seek(start)
        assert remote.read(size) == local.read(size)
        assert remote.tell() == local.tell()
    assert remote.seek(-10, io.SEEK_END) == local.seek(-10, io.SEEK_END)
    assert remote.readall() == local.read()
    assert len(server.requests) <= 6, "blocks are kept"
    assert io.BufferedReader(RangeFile(f"{server.url}/a.bin", Client(QUICK))).read() == CONTENT


def test_json(server: Server) -> None:
    assert Client(QUICK).get_json(f"{server.url}/a.json") == {"a": 1}
    with pytest.raises(ResourceError, match="not JSON"):
        Client(QUICK).get_json(f"{server.url}/a.bin")


def test_signatures_are_not_shown() -> None:
    assert shown("https://a.org/b.tif?sig=x#y") == "https://a.org/b.tif"
