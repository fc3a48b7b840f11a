"""Cloud Optimized copies of rasters that are slow to view."""

from __future__ import annotations

from collections.abc import Sequence

from demiurge.errors import DataError
from demiurge.outputs import atomic_file, check_output
from demiurge.paths import PathLike, local_file, split_band
from demiurge.scene.files import open_raster
from demiurge.viewer.catalogue import needs_cog

#: Ending of a copy.
SUFFIX = ".cog.tif"


def with_cogs(paths: Sequence[PathLike], *, overwrite: bool = False) -> list[PathLike]:
    """Return the paths with Cloud Optimized copies in place of large rasters without tiles.

    Raises
    ------
    DataError
        If a raster cannot be copied.
    UsageError
        If a copy exists and ``overwrite`` is False.
    """
    return [_copied(path, overwrite) for path in paths]


def _copied(path: PathLike, overwrite: bool) -> PathLike:
    from rasterio.errors import RasterioError
    from rasterio.shutil import copy

    text, band = split_band(str(path))
    file = local_file(text)
    if file is None or not file.is_file() or file.suffix.lower() in (".html", ".json", ".yaml"):
        return path
    with open_raster(text) as dataset:
        if not needs_cog(dataset):
            return path
    target = file.with_name(file.stem + SUFFIX)
    check_output(target, overwrite=overwrite, inputs=[file])
    try:
        with atomic_file(target, overwrite=overwrite) as partial:
            copy(text, partial, driver="COG", compress="deflate", bigtiff="if_safer",
                 num_threads="all_cpus")  # fmt: skip
    except RasterioError as error:
        raise DataError(f"{path}: cannot be copied ({error})", "check the file") from None
    return str(target) if band is None else f"{target}:{band}"
