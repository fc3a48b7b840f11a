"""Serving, snapshots, and the live view."""

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from demiurge.errors import DataError, ResourceError, UsageError
from demiurge.predict.checkpoint import checkpoint_folder
from demiurge.viewer import connections
from demiurge.viewer.catalogue import open_catalogue
from demiurge.viewer.live import add_live, progress_of
from demiurge.viewer.run import Viewer, serve, view
from demiurge.viewer.server import PAGE
from view_rasters import COLUMNS, ROWS

built = pytest.mark.skipif(not PAGE.is_dir(), reason="the page is not built")


@dataclass
class Answer:
    status: int
    body: bytes


def get(url: str, path: str, **headers: str) -> Answer:
    host, port = re.match(r"http://([^:]+):(\d+)/", url).groups()  # type: ignore[union-attr]
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", path, headers=headers)
    with connection.getresponse() as response:
        answer = Answer(response.status, response.read())
    connection.close()
    return answer


@built
def test_serves_on_loopback_only(files: list[Path]) -> None:
    viewer = serve(files)
    try:
        assert viewer.url.startswith("http://127.0.0.1:")
        assert b"demiurge" in get(viewer.url, "/").body
        assert len(json.loads(get(viewer.url, "/api/catalogue").body)["layers"]) == 6
        assert get(viewer.url, "/", Host="evil.example").status == 403
        assert get(viewer.url, "/../../../etc/passwd").status in (403, 404)
        assert get(viewer.url, "/%2e%2e/%2e%2e/server.py").status == 404
    finally:
        viewer.close()


@built
def test_other_addresses_need_a_token(files: list[Path]) -> None:
    viewer = serve(files, host="0.0.0.0")
    try:
        token = viewer.url.split("token=")[1]
        local = viewer.url.replace("0.0.0.0", "127.0.0.1")
        assert get(local, "/api/catalogue").status == 401
        assert get(local, f"/api/catalogue?token={token}").status == 200
    finally:
        viewer.close()


@built
def test_a_port_in_use_is_named(files: list[Path]) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        with pytest.raises(ResourceError, match="cannot listen"):
            serve(files, port=busy.getsockname()[1])


@built
def test_unfinished_requests_keep_nobody_waiting(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST", 1.0)
    begun = b"GET /api/catalogue HTTP/1.1\r\nHost: "
    with serving(files) as viewer, clients(viewer, begun, 300) as slow:
        time.sleep(1.5)
        assert get(viewer.url, "/api/catalogue").status == 200
        assert all(received(one) == 0 for one in slow)


@built
def test_answers_that_nobody_reads_are_dropped(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "ANSWER", 1.0)
    largest = max((PAGE / "assets").iterdir(), key=lambda file: file.stat().st_size)
    count = 1 + 40_000_000 // largest.stat().st_size  # more than the buffers of a connection
    with serving(files) as viewer:
        head = f"GET /assets/{largest.name} HTTP/1.1\r\nHost: {viewer.url[7:-1]}\r\n\r\n"
        with clients(viewer, head.encode() * count, 10) as slow:
            assert get(viewer.url, "/api/catalogue").status == 200
            time.sleep(2)
            assert all(received(one) < count * largest.stat().st_size for one in slow)


@contextmanager
def serving(files: list[Path]) -> Iterator[Viewer]:
    viewer = serve(files)
    try:
        yield viewer
    finally:
        viewer.close()


@contextmanager
def clients(viewer: Viewer, sent: bytes, count: int) -> Iterator[list[socket.socket]]:
    """Open connections that send something and read nothing."""
    with ExitStack() as stack:
        yield [stack.enter_context(connected(viewer, sent)) for _ in range(count)]


def connected(viewer: Viewer, sent: bytes) -> socket.socket:
    host, port = re.match(r"http://([^:]+):(\d+)/", viewer.url).groups()  # type: ignore[union-attr]
    made = socket.create_connection((host, int(port)), timeout=10)
    made.sendall(sent)
    return made


def received(connection: socket.socket) -> int:
    """Read until the end of a connection and return the number of bytes."""
    total = 0
    try:
        while block := connection.recv(2**20):
            total += len(block)
    except ConnectionResetError:
        pass
    return total


def test_snapshots(files: list[Path], tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    flat = view(*files, snapshot=tmp_path / "flat.png")
    tilted = view(files[0], snapshot=tmp_path / "tilted.png", perspective=True)
    for path in (flat, tilted):
        assert isinstance(path, Path)
        assert np.array(image.open(path)).std() > 20
    with pytest.raises(UsageError, match="overwrite"):
        view(files[0], snapshot=tmp_path / "flat.png")
    with pytest.raises(UsageError):
        view(files[0], snapshot=files[0], overwrite=True)
    for bounds in ("1,2,3", "4,4,1,1", "nan,1,2,3", "-inf,0,inf,1"):
        with pytest.raises(UsageError, match=r"write it as L,B,R,T"):
            view(files[0], snapshot=tmp_path / "x.png", bounds=bounds)
    with pytest.raises(DataError, match="no layer has values"):
        view(files[0], snapshot=tmp_path / "x.png", bounds="0,0,100,100")
    with pytest.raises(UsageError, match="snapshot"):
        view(files[0], perspective=True)


def test_rows_in_progress_are_shown(files: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "out.tif"
    catalogue = open_catalogue(files[1:2])
    grid = catalogue.layers["L0"].grid
    raster = {"crs": str(grid.crs), "affine": list(grid.affine)[:6], "shape": [ROWS, COLUMNS],
              "bands": ["dsm", "dsm_uncertainty"], "unit": "m"}  # fmt: skip
    folder = checkpoint_folder(output)
    folder.mkdir()
    rows = np.zeros((2, ROWS, COLUMNS), np.float32)
    rows[0, :30], rows[1, :30] = 42, 0.5
    rows.tofile(folder / "rows.f32")
    state = {"key": "k", "done": {"0": 30}, "counts": {}, "kept": {"raster": raster}}
    (folder / "state.json").write_text(json.dumps(state))
    add_live(catalogue, output, raster)
    one = next(iter(catalogue.layers.values()))
    assert one.title == "out.tif: dsm"
    assert one.uncertainty
    data = one.read(grid)[0]
    assert (data[:30] == 42).all()
    assert np.isnan(data[30:]).all()
    assert progress_of(output) == {"live": True, "finished": False, "rows": ROWS, "done": 30}
    (folder / "rows.f32").unlink()
    (folder / "state.json").unlink()
    folder.rmdir()
    output.write_bytes(files[0].read_bytes())
    assert progress_of(output)["finished"]
    np.testing.assert_allclose(one.read(grid)[0][60, 80], 128, atol=1e-3)
