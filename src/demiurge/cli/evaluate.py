"""``demiurge evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from demiurge.cli import common
from demiurge.cli.common import Overwrite, Quiet
from demiurge.console import note, table

if TYPE_CHECKING:
    from demiurge.evaluation.evaluate import Evaluation
    from demiurge.evaluation.sites import Sites

_Raster = str | None


def evaluate(
    surface: Annotated[
        _Raster, typer.Argument(help="Heights to judge; FILE:BAND for another band.")
    ] = None,
    reference: Annotated[_Raster, typer.Option(help="Reference heights, e.g. lidar.")] = None,
    baseline: Annotated[
        _Raster, typer.Option(help="What the surface was made from, for the ratio.")
    ] = None,
    landcover: Annotated[
        _Raster, typer.Option(help="Class numbers; each class gets figures of its own.")
    ] = None,
    ground: Annotated[
        _Raster, typer.Option(help="Bare earth under the reference, for classes of height above.")
    ] = None,
    mask: Annotated[_Raster, typer.Option(help="0 where nothing is to be compared.")] = None,
    nodata: common.NoDataOption = None,
    sites: Annotated[
        Path | None,
        typer.Option(help="CSV or GeoPackage of many pairs: columns site, surface, reference, …"),
    ] = None,
    sun: Annotated[
        float | None,
        typer.Option(min=0, max=360, help="The sun's azimuth in degrees: classes by its light."),
    ] = None,
    coregister: Annotated[
        bool, typer.Option("--coregister", help="First lay heights on the reference (xdem).")
    ] = False,
    affine: Annotated[
        bool, typer.Option("--affine", help="Tell figures after the best affine fit, too.")
    ] = False,
    spatial: Annotated[
        bool, typer.Option("--spatial", help="Variogram; standard error of the mean (xdem).")
    ] = False,
    allow_offset: Annotated[
        bool, typer.Option("--allow-offset", help="Go on where unit or level seem wrong.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write an HTML report with pictures here.")
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(help="A line x1,y1,x2,y2 for the report; may be given again."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures here.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Compare heights with a reference, and with a baseline."""
    from demiurge.errors import UsageError

    given = [surface, reference, baseline, landcover, ground, mask]
    _check_outputs(json_file, report, sites, [g for g in given if g], overwrite=overwrite)
    how: dict[str, Any] = {
        "allow_offset": allow_offset, "coregister": coregister, "spatial": spatial, "sun": sun,
        "nodata": common.nodata(nodata),
    }  # fmt: skip
    files = {"baseline": baseline, "landcover": landcover, "ground": ground, "mask": mask}
    found: Evaluation | Sites
    if sites is not None:
        if surface or reference or affine or profile or any(files.values()):
            raise UsageError(
                "--sites names all rasters", "leave out the others, --affine and --profile"
            )
        found = _sites(sites, report, how, overwrite=overwrite, quiet=quiet)
    elif surface is None or reference is None:
        raise UsageError(
            "two rasters are to be compared", "name a surface and --reference, or --sites"
        )
    else:
        how |= {"affine": affine}
        found = _pair(
            surface, reference, files, report, profile or [], how, overwrite=overwrite, quiet=quiet
        )
    if json_file is not None:
        _write(json_file, json.dumps(found.as_dict(), indent=1) + "\n", overwrite=overwrite)


def _check_outputs(
    json_file: Path | None,
    report: Path | None,
    sites: Path | None,
    given: list[str],
    *,
    overwrite: bool,
) -> None:
    """Raise before any work if a result could not, or must not, be written."""
    from demiurge.errors import UsageError
    from demiurge.outputs import check_output

    if json_file is None and report is None:
        return
    if sites is not None:
        from demiurge.evaluation.sites import read_table

        rows = read_table(sites).values()
        given = [str(sites), *(file for row in rows for file in row.values() if file)]
    if json_file is not None and json_file == report:
        raise UsageError(f"{report}: is to be both report and figures", "give them two names")
    for path, suffixes in ((json_file, (".json",)), (report, (".html", ".htm"))):
        if path is not None:
            check_output(path, overwrite=overwrite, inputs=given, suffixes=suffixes)


def _pair(
    surface: str,
    reference: str,
    files: dict[str, Any],
    report: Path | None,
    lines: list[str],
    how: dict[str, Any],
    *,
    overwrite: bool,
    quiet: bool,
) -> Evaluation:
    from demiurge.errors import UsageError
    from demiurge.evaluation.evaluate import evaluate as run
    from demiurge.evaluation.report.page import Report, require_plots
    from demiurge.evaluation.report.profiles import read_line
    from demiurge.progress import progress

    if lines and report is None:
        raise UsageError("profiles are drawn in the report", "add --report report.html")
    taker = None
    if report is not None:
        require_plots()
        taker = Report(lines=[read_line(text) for text in lines])
    with progress("evaluate", _megapixels(surface), quiet=quiet, unit="Mpx") as advance:
        found = run(surface, reference, **files, **how, report=taker, advance=advance)
    if report is not None and taker is not None:
        _write(report, taker.page(found), overwrite=overwrite)
    if not quiet:
        _show(found)
    return found


def _sites(
    listed: Path, report: Path | None, how: dict[str, Any], *, overwrite: bool, quiet: bool
) -> Sites:
    from demiurge.evaluation.report import tables
    from demiurge.evaluation.report.page import sites_page
    from demiurge.evaluation.sites import evaluate_sites, read_table
    from demiurge.progress import progress

    if report is not None:
        from demiurge.evaluation.report.page import require_plots

        require_plots()
    count = len(read_table(listed))
    with progress("evaluate", count, quiet=quiet, unit="sites") as advance:
        found = evaluate_sites(listed, **how, advance=advance)
    if report is not None:
        _write(report, sites_page(listed, found), overwrite=overwrite)
    if not quiet:
        for text in found.notes:
            note(f"note: {text}")
        table(*tables.sites(found))
        pooled = tables.intervals(found)
        if pooled is not None:
            table(*pooled)
        table(*tables.classes(found))
    return found


def _write(path: Path, text: str, *, overwrite: bool) -> None:
    from demiurge.outputs import whole_file

    with whole_file(path, overwrite=overwrite) as partial:
        partial.write_text(text, encoding="utf-8")


def _megapixels(surface: str) -> float:
    """Return about how many there are, for the progress bar."""
    from demiurge.paths import split_band
    from demiurge.scene.files import open_raster

    with open_raster(split_band(surface)[0]) as dataset:
        return float(dataset.width * dataset.height / 1e6)


def _show(found: Evaluation) -> None:
    from demiurge.evaluation.report import tables

    for text in found.notes:
        note(f"note: {text}")
    table(*tables.statistics(found))
    if found.common is not None and found.baseline is not None:
        typer.echo(
            f"all of it: surface MAE {found.surface.mae:.3f} m over {found.surface.coverage:.1%} "
            f"of the reference, baseline {found.baseline.mae:.3f} m over "
            f"{found.baseline.coverage:.1%}"
        )
    for rows in (tables.variants(found), tables.classes(found), tables.uncertainty(found),
                 tables.spatial(found)):  # fmt: skip
        if rows is not None:
            table(*rows)
