"""Peak memory at two sizes, each command in a separate process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from conftest import make_bundle, terrain, write_raster

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read in /proc")

WIDTH, SHORT, LONG = 512, 2048, 10240
#: Rows for `prepare`, which holds the same number of blocks only from about 10,000 rows on.
BLOCKS_SHORT, BLOCKS_LONG = 12288, 36864
#: MiB by which the peak of the longer raster may be higher; two float32 rasters are 32 MiB.
SLACK = 30

RUN = """
import re, sys
from demiurge.cli.main import run
try:
    run(sys.argv[1:])
except SystemExit as end:
    assert end.code == 0
"""
EQUALISE = """
import re, sys
from demiurge.scene.open import scene_from_files
scene_from_files({"ortho_left": sys.argv[1]}).with_equalised()
"""


def peak(code: str, *arguments: str) -> float:
    """Return the peak memory of a process in MiB."""
    # ru_maxrss includes the memory of the parent before exec.
    code += "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    limits = {"GDAL_CACHEMAX": "8", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **limits},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1]) / 1024


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memory")
    make_bundle(folder / "refine.bundle", layers=("dsm", "ortho_left"), window=128)
    make_bundle(
        folder / "generate.bundle",
        task="generate",
        layers=("red", "dem_prior"),
        base="dem_prior",
        window=128,
    )
    for rows in (SHORT, LONG, BLOCKS_SHORT, BLOCKS_LONG):
        data = np.tile(terrain(128, 128), (rows // 128, WIDTH // 128))
        write_raster(folder / f"dsm{rows}.tif", data, tiled=True)
        write_raster(folder / f"image{rows}.tif", (data * 7).astype(np.uint16), tiled=True)
        coarse = data.reshape(rows // 8, 8, WIDTH // 8, 8).mean(axis=(1, 3))
        transform = rasterio.open(folder / f"dsm{rows}.tif").transform
        prior = folder / f"prior{rows}.tif"
        write_raster(prior, coarse, transform=transform @ transform.scale(8))
    return folder


@pytest.mark.parametrize(
    ("command", "rows"),
    [
        (
            "refine dsm{n}.tif --left image{n}.tif --bundle refine.bundle -o refined.tif",
            (SHORT, LONG),
        ),
        (
            "generate image{n}.tif --bands red=1 --prior prior{n}.tif --bundle generate.bundle "
            "-o generated.tif",
            (SHORT, LONG),
        ),
        ("prepare dsm=dsm{n}.tif ortho_left=image{n}.tif -o scene", (BLOCKS_SHORT, BLOCKS_LONG)),
        ("export dsm{n}.tif -o heights.ply", (SHORT, LONG)),
        ("export dsm{n}.tif --image image{n}.tif --thin 1 -o mesh.glb", (SHORT, LONG)),
    ],
    ids=["refine", "generate", "prepare", "export-ply", "export-glb"],
)
def test_memory_does_not_grow_with_the_raster(
    files: Path, command: str, rows: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    few, many = (peak(RUN, *command.format(n=n).split(), "--overwrite") for n in rows)
    assert many < few + SLACK


def test_the_equaliser_needs_the_same_memory_for_any_image(tmp_path: Path) -> None:
    sizes = []
    for side in (1024, 6144):
        path = tmp_path / f"{side}.tif"
        row = np.tile((terrain(64, 1024) * 2).astype(np.uint8), (1, side // 1024))
        write_raster(path, np.tile(row, (side // 64, 1)), compress="lzw", tiled=True)
        sizes.append(peak(EQUALISE, str(path)))
    assert sizes[1] < sizes[0] + 32  # 1.75 bytes per pixel are 63 MiB
