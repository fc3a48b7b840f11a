"""Opening of rasters: subdatasets, archives, folders, URLs, missing files, servers that hang."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.control import GroundControlPoint
from rasterio.transform import from_origin

from conftest import LEFT, TOP, make_bundle, terrain
from demiurge.cli.main import run
from demiurge.errors import DataError, ResourceError
from demiurge.layers import layer
from demiurge.outputs import refuse_inputs
from demiurge.paths import is_network, split_band
from demiurge.predict.api import generate, refine
from demiurge.scene import files
from demiurge.scene.files import open_raster
from demiurge.scene.grid import full_window
from demiurge.scene.source import Source

Write = Callable[..., Path]
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def heights(path: str | Path, band: int = 1) -> np.ndarray:
    source = Source.open(path, layer("dsm"), band)
    return source.read(source.grid, full_window(source.grid))


@pytest.fixture
def two(tmp_path: Path, raster: Write) -> Path:
    """Write a netCDF file with two rasters."""
    path = tmp_path / "two.nc"
    pair = raster("pair.tif", np.stack([terrain(), terrain(seed=1)]))
    rasterio.shutil.copy(pair, path, driver="netCDF")
    return path


def test_subdatasets_are_opened_and_listed(two: Path) -> None:
    with pytest.raises(DataError, match=r"contains 2 rasters; name one of them: netcdf:.*:Band1"):
        open_raster(two)
    np.testing.assert_array_equal(heights(f'NETCDF:"{two}":Band2'), terrain(seed=1))
    np.testing.assert_array_equal(heights(f"netcdf:{two}:Band1"), terrain())
    with pytest.raises(ResourceError, match="no such file"):
        open_raster(f'NETCDF:"{two.with_name("no.nc")}":Band1')


def test_zarr_folders(tmp_path: Path, raster: Write) -> None:
    store = tmp_path / "dsm.zarr"
    rasterio.shutil.copy(raster("dsm.tif", terrain()), store, driver="Zarr")
    np.testing.assert_array_equal(heights(store), terrain())
    np.testing.assert_array_equal(heights(f'ZARR:"{store}":/dsm'), terrain())
    bundle = make_bundle(tmp_path / "none.bundle")
    assert refine(store, tmp_path / "out.tif", bundle=bundle).grid.shape == (160, 192)


def test_archives_and_file_urls(tmp_path: Path, raster: Write) -> None:
    path = raster("a b.tif", terrain())
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(path, "inside/a b.tif")
    for name in (
        f"zip://{archive}!inside/a b.tif",
        f"/vsizip/{archive}/inside/a b.tif",
        f"file://{path}",
        f"file://{str(path).replace(' ', '%20')}",
    ):
        np.testing.assert_array_equal(heights(name), terrain())
    with pytest.raises(ResourceError, match="no such file"):
        open_raster(f"zip://{tmp_path}/no.zip!a.tif")
    with pytest.raises(ResourceError, match="no such file"):
        open_raster(f"file://{tmp_path}/no.tif")
    with pytest.raises(ResourceError, match="cannot be opened"):
        open_raster(f"zip://{archive}!inside/no.tif")


def test_bands_are_split_off_last(tmp_path: Path, raster: Write) -> None:
    assert split_band('NETCDF:"two.nc":elevation') == ('NETCDF:"two.nc":elevation', None)
    assert split_band('NETCDF:"two.nc":elevation:2') == ('NETCDF:"two.nc":elevation', 2)
    assert split_band("https://host:8080") == ("https://host:8080", None)
    assert split_band("https://host:8080/a.tif:3") == ("https://host:8080/a.tif", 3)
    called = raster("a:3", terrain())
    assert split_band(str(called)) == (str(called), None)
    np.testing.assert_array_equal(heights(called), terrain())


def test_folders_that_are_not_rasters(tmp_path: Path, two: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        open_raster(tmp_path / "plain")
    product = tmp_path / "S2A_MSIL2A.SAFE"
    product.mkdir()
    (product / "MTD_MSIL2A.xml").write_text("<xml/>")
    bundle = make_bundle(tmp_path / "g.bundle", task="generate", layers=("red",), base=None,
                         targets=("dtm",), relative=True)  # fmt: skip
    with pytest.raises(DataError, match=r"is a Sentinel-2 product.*gdalinfo .*MTD_MSIL2A.xml"):
        generate(product, tmp_path / "o.tif", prior=two, bundle=bundle)


def vrt_over(path: Path, source: str) -> Path:
    path.write_text(
        '<VRTDataset rasterXSize="192" rasterYSize="160"><SRS>EPSG:32633</SRS>'
        f"<GeoTransform>{LEFT}, 2, 0, {TOP}, 0, -2</GeoTransform>"
        '<VRTRasterBand dataType="Float32" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{source}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return path


def test_a_missing_source_of_a_vrt_is_named(tmp_path: Path, raster: Write) -> None:
    path = vrt_over(tmp_path / "a.vrt", "tiles/dsm.tif")
    outer = vrt_over(tmp_path / "outer.vrt", "a.vrt")
    for name in (path, outer):
        with pytest.raises(ResourceError, match=r"its source file .*tiles/dsm\.tif does not exist"):
            heights(name)
    (tmp_path / "tiles").mkdir()
    shutil.copy(raster("dsm.tif", terrain()), tmp_path / "tiles")
    np.testing.assert_array_equal(heights(outer), terrain())


def test_a_file_deleted_while_it_is_read(raster: Write) -> None:
    path = raster("a.tif", terrain())
    source = Source.open(path, layer("dsm"))
    path.unlink()
    with pytest.raises(ResourceError, match=r"no such file|no longer exists"):
        source.read(source.grid, full_window(source.grid))


def test_ground_control_points_get_a_working_cure(tmp_path: Path, raster: Write) -> None:
    path = raster("gcp.tif", np.ones((3, 64, 64), np.uint8), crs=None, photometric="RGB")
    corners = [(0, 0, 15.0, 40.0), (0, 64, 15.01, 40.0), (64, 0, 15.0, 39.99)]
    with rasterio.open(path, "r+") as file:
        points = [GroundControlPoint(row=r, col=c, x=x, y=y) for r, c, x, y in corners]
        file.gcps = (points, rasterio.crs.CRS.from_epsg(4326))
    with pytest.raises(DataError, match="only by 3 ground control points; warp it first"):
        Source.open(path, layer("red"))
    bundle = make_bundle(tmp_path / "g.bundle", task="generate", layers=("red",), base=None,
                         targets=("dtm",), relative=True)  # fmt: skip
    with pytest.raises(DataError, match="3 ground control points"):
        generate(path, tmp_path / "o.tif", bundle=bundle)
    surface = generate(path, tmp_path / "o.tif", bundle=bundle, gsd=2.0)
    assert any("ground control points or camera model are not used" in n for n in surface.notes)


def test_the_suggested_crs_fits_the_coordinates(raster: Write) -> None:
    degrees = raster("a.tif", terrain(), crs=None, transform=from_origin(15, 40, 1e-4, 1e-4))
    with pytest.raises(DataError, match="-a_srs EPSG:4326"):
        Source.open(degrees, layer("dsm"))
    with pytest.raises(DataError, match="-a_srs EPSG:32633"):
        Source.open(raster("b.tif", terrain(), crs=None), layer("dsm"))


def test_a_world_file_sets_the_pixel_size(tmp_path: Path) -> None:
    picture, world = tmp_path / "a.png", tmp_path / "a.pgw"
    data = np.random.default_rng(0).integers(1, 255, (3, 96, 96)).astype(np.uint8)
    with rasterio.open(picture, "w", driver="PNG", width=96, height=96, count=3,
                       dtype="uint8") as file:  # fmt: skip
        file.write(data)
    for leftover in tmp_path.glob("*.xml"):
        leftover.unlink()
    world.write_text("10\n0\n0\n-10\n500005\n3999995\n")
    bundle = make_bundle(tmp_path / "g.bundle", task="generate", layers=("red",), base=None,
                         targets=("dtm",), relative=True, pixel=(5, 60))  # fmt: skip
    surface = generate(picture, tmp_path / "o.tif", bundle=bundle)
    assert surface.grid.affine.a == 10
    assert any("pixels of 10 m, if its world file is in metres" in n for n in surface.notes)
    world.write_text("0.0001\n0\n0\n-0.0001\n15\n40\n")
    with pytest.raises(DataError, match="-a_srs EPSG:4326"):
        generate(picture, tmp_path / "p.tif", bundle=bundle)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Run a local server that accepts connections and never responds."""
    server = socket.create_server(("127.0.0.1", 0), backlog=32)
    held: list[socket.socket] = []
    server.settimeout(0.1)
    going = True

    def accept() -> None:
        while going:
            try:
                held.append(server.accept()[0])
            except TimeoutError:
                continue

    thread = threading.Thread(target=accept)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/dsm.tif"
    going = False
    thread.join()
    for connection in (*held, server):
        connection.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set time limits of 1 s. GDAL reads the environment itself, so it is restored by hand."""
    before = {key: os.environ.pop(key, None) for key in files.NETWORK}
    quick = {"GDAL_HTTP_TIMEOUT": "1", "GDAL_HTTP_LOW_SPEED_TIME": "1"}
    monkeypatch.setattr(files, "NETWORK", {**files.NETWORK, **quick})
    yield
    for key, value in before.items():
        os.environ.pop(key, None)
        if value is not None:
            os.environ[key] = value


def test_a_silent_server_times_out(silent_server: str, impatient: None) -> None:
    for name in (silent_server, f"/vsicurl/{silent_server}"):
        start = time.monotonic()
        with pytest.raises(ResourceError, match="cannot be reached"):
            open_raster(name)
        assert time.monotonic() - start < 10


def test_commands_exit_with_4_if_a_server_is_silent(
    silent_server: str, impatient: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_bundle(tmp_path / "r.bundle")
    words = f"refine {silent_server} -o {tmp_path}/o.tif --bundle {tmp_path}/r.bundle"
    with pytest.raises(SystemExit) as caught:
        run(words.split())
    assert caught.value.code == 4
    error = capfd.readouterr().err
    assert "cannot be reached" in error
    assert error.count("\n") == 1


def test_every_wait_has_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = ("CONNECTTIMEOUT", "TIMEOUT", "LOW_SPEED_TIME", "LOW_SPEED_LIMIT")
    assert all(int(files.NETWORK[f"GDAL_HTTP_{name}"]) > 0 for name in limits)
    assert is_network("https://a/b.tif")
    assert is_network("/vsicurl/https://a/b.tif")
    assert is_network("/vsizip//vsicurl/https://a/b.zip")
    assert not is_network("/vsizip/a.zip/b.tif")


@pytest.mark.parametrize("seed", [10, 33, 40, 43, 48, 88])
def test_a_damaged_header_is_reported_in_one_sentence(
    tmp_path: Path, raster: Write, seed: int
) -> None:
    """For a damaged CRS, rasterio raises an exception that is not one of its file errors."""
    path = tmp_path / "a.img"
    rasterio.shutil.copy(raster("full.tif", terrain()[:32, :32]), path, driver="HFA")
    rng = np.random.default_rng(seed)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    places = rng.integers(0, min(content.size, 3000), 20)
    content[places] = rng.integers(0, 256, places.size)
    path.write_bytes(content.tobytes())
    with pytest.raises(DataError, match="not a raster that GDAL can read"):
        open_raster(path)
    refuse_inputs([tmp_path / "full.tif"], [path])


#: Serves ranges of one file and never sends bytes beyond a limit. It runs in a separate process,
#: because GDAL holds the lock of this one while it waits.
SERVER = """
import http.server, pathlib, sys, time
content, limit = pathlib.Path(sys.argv[1]).read_bytes(), int(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        if not self.path.endswith("/dsm.tif"):
            return self.send_error(404)
        range = self.headers.get("Range")
        first, _, last = (range or "bytes=0-").removeprefix("bytes=").partition("-")
        self.start, self.stop = int(first), min(int(last or len(content)), len(content) - 1) + 1
        self.send_response(206 if range else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(self.stop - self.start))
        span = f"bytes {self.start}-{self.stop - 1}/{len(content)}"
        if range:
            self.send_header("Content-Range", span)
        self.end_headers()
        return True
    def do_GET(self):
        if self.do_HEAD():
            self.wfile.write(content[self.start : min(self.stop, limit)])
            self.wfile.flush()
            if self.stop > limit:
                time.sleep(60)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def serve(raster: Write) -> Iterator[Callable[[int], str]]:
    """Return a function that serves a raster up to a byte, and returns the URL of its folder."""
    path = raster("served.tif", terrain(600, 600))
    started: list[subprocess.Popen[str]] = []

    def start(limit: int) -> str:
        words = [sys.executable, "-c", SERVER, str(path), str(limit)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{process.stdout.readline().strip()}"

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_rasters_are_read_over_http(serve: Callable[[int], str]) -> None:
    url = serve(10**9)
    np.testing.assert_array_equal(heights(f"{url}/dsm.tif"), terrain(600, 600))
    with pytest.raises(ResourceError, match="cannot be reached"):
        open_raster(f"{url}/no.tif")


def test_a_server_that_stalls_during_reading(serve: Callable[[int], str], impatient: None) -> None:
    url = serve(100_000)
    start = time.monotonic()
    with pytest.raises(ResourceError, match=r"cannot be (read|reached).*(try again|connection)"):
        heights(f"{url}/dsm.tif")
    assert time.monotonic() - start < 15
