"""Choice of the band if the user names none, and special characters in file names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import laspy
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from conftest import LEFT, PIXEL, TOP, make_bundle, terrain
from demiurge.cli.main import run
from demiurge.errors import DataError, UsageError
from demiurge.evaluation.evaluate import evaluate
from demiurge.exports.export import export
from demiurge.layers import layer
from demiurge.predict.api import generate, refine
from demiurge.scene.bands import name_inputs
from demiurge.scene.check import LayerVerdict, check
from demiurge.scene.grid import full_window
from demiurge.scene.open import open_scene, scene_from_files
from demiurge.scene.prepare import prepare
from demiurge.scene.source import Source

Write = Callable[..., Path]


def pair(names: tuple[str, ...] = ("ortho", "dsm")) -> np.ndarray:
    """Return heights for bands named dsm or dtm, and brightness for others."""
    return np.stack([terrain() if "d" in n[:1] else terrain(seed=3) * 4 for n in names])


def read_all(source: Source) -> np.ndarray:
    return source.read(source.grid, full_window(source.grid))


def components() -> np.ndarray:
    """Return an error vector with a void in one component each."""
    result = np.random.default_rng(0).normal(0, 1, (3, 160, 192)).astype(np.float32)
    for band in range(3):
        result[band, 10 * band, 5] = -32767
    return result


def norm(vector: np.ndarray) -> np.ndarray:
    return np.sqrt((np.where(vector == -32767, np.nan, vector).astype(np.float64) ** 2).sum(0))


def with_palette(path: Path) -> Path:
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {i: (255 - i, i // 2, 0, 255) for i in range(256)})
    return path


@pytest.fixture
def palette(raster: Write) -> Path:
    path = raster("red.tif", terrain().astype(np.uint8), photometric="palette")
    return with_palette(path)


@pytest.mark.parametrize("name", ["ortho_left", "red", "ndvi", "triangulation_error"])
def test_palettes_are_refused_as_images(palette: Path, name: str) -> None:
    for band in (None, 1):
        with pytest.raises(DataError, match=r"has a palette.*gdal_translate -expand rgb"):
            Source.open(palette, layer(name), band)
    assert Source.open(palette, layer("landcover")).band == 1


def test_all_commands_refuse_palettes(palette: Path, raster: Write, tmp_path: Path) -> None:
    dsm, out = raster("dsm.tif", terrain()), tmp_path / "out.tif"
    bundle = make_bundle(tmp_path / "r.bundle", layers=("dsm", "ortho_left"))
    pictures = make_bundle(
        tmp_path / "g.bundle", task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",),
    )  # fmt: skip
    commands: list[Callable[[], Any]] = [
        lambda: refine(dsm, out, left=palette, bundle=bundle),
        lambda: prepare({"dsm": dsm, "ortho_left": palette}, tmp_path / "scene"),
        lambda: generate(palette, out, prior=dsm, bundle=pictures),
        lambda: generate(palette, out, prior=dsm, bundle=pictures, bands={"red": 1}),
        lambda: name_inputs([str(palette)]),
        lambda: export(dsm, tmp_path / "a.ply", image=palette),
    ]
    before = sorted(tmp_path.iterdir())
    for command in commands:
        with pytest.raises(DataError, match="has a palette"):
            command()
        assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("names", [("ortho", "dsm"), ("dsm", "ortho"), ("ortho", "alpha", "DSM")])
def test_the_description_decides_the_band_of_heights(
    raster: Write, tmp_path: Path, names: tuple[str, ...]
) -> None:
    path = raster("two.tif", pair(tuple(n.lower() for n in names)), names=list(names))
    source = Source.open(path, layer("dsm"))
    np.testing.assert_array_equal(read_all(source), terrain())
    said = [f"band {source.band} ({names[source.band - 1]}) of {len(names)} is used"]
    assert source.remarks == (() if source.band == 1 else tuple(said))
    bundle = make_bundle(tmp_path / "r.bundle")
    surface = refine(path, tmp_path / "out.tif", bundle=bundle)
    with rasterio.open(tmp_path / "out.tif") as file:
        np.testing.assert_allclose(file.read(1), terrain() + 5, atol=1e-3)
    declared = [note for note in surface.notes if "is used" in note]
    assert declared == ([] if source.band == 1 else [f"dsm: {said[0]}"])
    result = evaluate(path, raster("truth.tif", terrain()))
    assert result.surface.mae == 0
    np.testing.assert_array_equal(
        prepare({"dsm": path}, tmp_path / "s").read(full_window(source.grid), ["dsm"])[0], terrain()
    )
    export(path, tmp_path / "a.las")
    heights = np.asarray(laspy.read(tmp_path / "a.las").z)
    np.testing.assert_allclose(heights, terrain().ravel(), atol=2e-3)


def test_undescribed_bands_are_refused(raster: Write, tmp_path: Path) -> None:
    path = raster("two.tif", pair(), names=["ortho", "elevation"])
    bare = raster("bare.tif", pair())
    good, out = raster("good.tif", terrain()), tmp_path / "out.tif"
    bundle = make_bundle(tmp_path / "r.bundle")
    commands: list[Callable[[Path], Any]] = [
        lambda p: refine(p, out, bundle=bundle),
        lambda p: refine(good, out, ndvi=p, bundle=bundle),
        lambda p: prepare({"dsm": good, "truth_dsm": p}, tmp_path / "s"),
        lambda p: prepare({"dsm": good, "red": p}, tmp_path / "s"),
        lambda p: evaluate(p, good),
        lambda p: evaluate(good, p),
        lambda p: evaluate(good, good, baseline=p),
        lambda p: evaluate(good, good, mask=p),
        lambda p: export(p, tmp_path / "a.ply"),
    ]
    for command in commands:
        with pytest.raises(
            UsageError, match=r"contains 2 bands \(ortho, elevation\).*two.tif:BAND"
        ):
            command(path)
        with pytest.raises(UsageError, match=r"bare.tif: contains 2 bands, and '.*' could be any"):
            command(bare)
    np.testing.assert_array_equal(read_all(Source.open(path, layer("dsm"), 2)), terrain())
    assert evaluate(f"{path}:2", good).surface.mae == 0
    assert export(f"{path}:2", tmp_path / "a.ply").points == terrain().size
    assert export(path, tmp_path / "b.ply", band=2).points == terrain().size


def test_a_reference_is_not_the_input_of_the_same_file(raster: Write) -> None:
    names = ["dsm", "red", "dtm", "truth_dtm"]
    path = raster("a.tif", np.stack([terrain(seed=i) for i in range(4)]), names=names)
    chosen = {n: Source.open(path, layer(n)).band for n in ("dsm", "dtm", "truth_dtm", "truth_dsm")}
    assert chosen == {"dsm": 1, "dtm": 3, "truth_dtm": 4, "truth_dsm": 1}
    with pytest.raises(UsageError, match="'dem_prior' could be any"):
        Source.open(path, layer("dem_prior"))
    truths = raster("t.tif", pair(("red", "dtm")), names=["red", "truth_dsm"])
    assert evaluate(raster("own.tif", terrain()), truths).surface.mae == 0
    twice = raster("twice.tif", pair(("dsm", "dsm")), names=["dsm", "dsm"])
    with pytest.raises(UsageError, match="'dsm' could be any"):
        Source.open(twice, layer("dsm"))


def test_results_are_recognised_by_their_descriptions(raster: Write, tmp_path: Path) -> None:
    path = raster("dsm.tif", terrain())
    out = tmp_path / "out.tif"
    refine(path, out, bundle=make_bundle(tmp_path / "r.bundle", targets=("dsm", "dtm")))
    assert Source.open(out, layer("dsm")).remarks == ()
    ground = Source.open(out, layer("truth_dtm"))
    assert (ground.band, ground.remarks) == (3, ("band 3 (dtm) of 4 is used",))
    refine(path, tmp_path / "dtm.tif", bundle=make_bundle(tmp_path / "d.bundle", targets=("dtm",)))
    assert Source.open(tmp_path / "dtm.tif", layer("dsm")).remarks == ()


@pytest.mark.parametrize(
    ("names", "band"),
    [([], 1), (["left", "nir"], 1), (["nir", "ortho_left"], 2), (["dsm", "pan"], 2)],
)
def test_a_note_names_the_band_of_an_ortho(
    raster: Write, tmp_path: Path, names: list[str], band: int
) -> None:
    ortho = raster("ortho.tif", np.stack([terrain(seed=1) * 3, terrain(seed=2)]), names=names)
    dsm = raster("dsm.tif", terrain())
    source = Source.open(ortho, layer("ortho_left"))
    assert source.band == band
    about = f" ({names[band - 1]})" if names else ""
    said = () if names[:1] == ["left"] else (f"band {band}{about} of 2 is used",)
    assert source.remarks == said
    bundle = make_bundle(tmp_path / "r.bundle", layers=("dsm", "ortho_left"))
    surface = refine(dsm, tmp_path / "out.tif", left=ortho, bundle=bundle)
    assert [n for n in surface.notes if "is used" in n] == [f"ortho_left: {text}" for text in said]
    scene = prepare({"dsm": dsm, "ortho_left": ortho}, tmp_path / "scene")
    assert [n for n in scene.notes if "is used" in n] == [f"ortho_left: {text}" for text in said]
    assert not open_scene(tmp_path / "scene").sources["ortho_left"].remarks


def test_the_norm_of_an_error_vector_is_read(raster: Write, tmp_path: Path) -> None:
    vector = components()
    path = raster("run-IntersectionErr.tif", vector, nodata=-32767)
    source = Source.open(path, layer("triangulation_error"))
    np.testing.assert_allclose(read_all(source), norm(vector), rtol=1e-6)
    assert np.isnan(read_all(source)).sum() == 3
    assert source.remarks == (
        "its 3 bands are the components of an error vector: the norm is used",
    )
    dsm = raster("dsm.tif", terrain())
    files = {"dsm": dsm, "triangulation_error": path}
    scene = scene_from_files(files)
    finding = next(f for f in check(scene) if f.layer == "triangulation_error")
    assert finding.verdict is LayerVerdict.WARNING
    assert finding.low >= 0
    prepared = prepare(files, tmp_path / "scene")
    read = prepared.read(full_window(prepared.grid), ["triangulation_error"])[0]
    np.testing.assert_allclose(read, norm(vector), rtol=1e-6)
    bundle = make_bundle(tmp_path / "r.bundle", layers=("dsm", "triangulation_error"))
    surface = refine(dsm, tmp_path / "out.tif", triangulation_error=path, bundle=bundle)
    assert "triangulation_error: " + source.remarks[0] in surface.notes


def test_the_norm_is_computed_before_resampling(raster: Write) -> None:
    """Components of opposite sign would cancel out after resampling."""
    vector = np.full((3, 160, 192), 2, np.float32)
    vector[:, ::2] *= -1
    path = raster("a.tif", vector, transform=from_origin(LEFT + 1, TOP - 1, PIXEL, PIXEL))
    dsm = Source.open(raster("dsm.tif", terrain()), layer("dsm"))
    read = Source.open(path, layer("triangulation_error")).read(dsm.grid, full_window(dsm.grid))
    np.testing.assert_allclose(read[2:-2, 2:-2], 12**0.5, rtol=1e-5)


def test_one_component_or_a_picture_is_refused_as_error(raster: Write) -> None:
    path = raster("a.tif", components(), nodata=-32767)
    only = Source.open(path, layer("triangulation_error"), 1)
    assert only.vector == ()
    picture = raster("b.tif", np.ones((3, 32, 32), np.uint8), photometric="RGB")
    with pytest.raises(DataError, match=r"band 1 is a colour \(red\).*measured values"):
        Source.open(picture, layer("triangulation_error"))
    two = raster("c.tif", components()[:2], nodata=-32767)
    with pytest.raises(UsageError, match="'triangulation_error' could be any"):
        Source.open(two, layer("triangulation_error"))


def test_file_names_with_special_characters(
    tmp_path: Path, raster: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run=3").mkdir()
    data = raster("dsm.tif", terrain()).read_bytes()
    for name in ("run=3/dsm.tif", "a:3", "run:3", "dsm=dsm.tif"):
        Path(name).write_bytes(data)
    assert name_inputs(["run=3/dsm.tif"]) == {"dsm": "run=3/dsm.tif:1"}
    assert name_inputs(["run=3/dsm.tif:1"]) == {"dsm": "run=3/dsm.tif:1"}
    assert name_inputs(["dsm=run=3/dsm.tif"]) == {"dsm": "run=3/dsm.tif"}
    assert name_inputs(["dsm=a:3"]) == {"dsm": "a:3"}
    assert name_inputs(["dsm=dsm.tif"]) == {"dsm": "dsm.tif"}  # a layer, because dsm.tif exists
    with pytest.raises(UsageError, match="no layer called 'run'"):
        name_inputs(["run=4/dsm.tif"])
    bundle = make_bundle(tmp_path / "r.bundle")
    for number, name in enumerate(("run=3/dsm.tif", "a:3", "run:3", "a:3:1")):
        prepare({"dsm": name}, f"scene{number}")
        refine(name, f"out{number}.tif", bundle=bundle)
        assert evaluate(name, f"./{name}").surface.mae == 0
        assert export(name, f"out{number}.ply").points == terrain().size
    Path("scene").mkdir()
    Path("scene/run:3").write_bytes(data)
    Path("scene/scene.yaml").write_text("layers: {dsm: {file: 'run:3'}}\n")
    Path("run:3").unlink()
    np.testing.assert_array_equal(read_all(open_scene("scene").sources["dsm"]), terrain())


def test_generate_uses_the_named_band(raster: Write, tmp_path: Path) -> None:
    image = raster("a.tif", np.stack([terrain(), terrain(seed=1)]), names=["red", "green"])
    bundle = make_bundle(
        tmp_path / "g.bundle", task="generate", layers=("dem_prior", "red"), base="dem_prior",
        targets=("dtm",),
    )  # fmt: skip
    prior = raster("prior.tif", terrain())
    surface = generate(f"{image}:1", tmp_path / "o.tif", prior=prior, bundle=bundle)
    assert any("red is band 1" in note for note in surface.notes)
    with pytest.raises(UsageError, match="leave out one of the two"):
        generate(f"{image}:1", tmp_path / "p.tif", prior=prior, bundle=bundle, bands={"red": 1})


@pytest.mark.parametrize("how", ["plain", "linked", "relative"])
def test_a_scene_is_not_replaced_by_its_own_result(
    raster: Write, tmp_path: Path, capfd: pytest.CaptureFixture[str], how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    scene = tmp_path / "scene"
    prepare({"dsm": raster("dsm.tif", terrain())}, scene)
    make_bundle(tmp_path / "r.bundle")
    kept = (scene / "stack.tif").read_bytes()
    names = [str(scene), str(scene / "stack.tif")]
    if how == "linked":
        (tmp_path / "link").symlink_to(scene)
        names[0] = str(tmp_path / "link")
    elif how == "relative":
        monkeypatch.chdir(scene)
        names = [".", "../scene/stack.tif"]
    words = ["refine", names[0], "-o", names[1], "--bundle", str(tmp_path / "r.bundle")]
    for more in ([], ["--overwrite"]):
        with pytest.raises(SystemExit) as caught:
            run([*words, *more])
        assert caught.value.code == 2
        assert "is an input of this command" in capfd.readouterr().err
    assert (scene / "stack.tif").read_bytes() == kept
    assert sorted(p.name for p in scene.iterdir()) == [
        "fingerprint.json", "scene.yaml", "stack.tif"
    ]  # fmt: skip
