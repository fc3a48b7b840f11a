"""The tools that train the shipped `refine` on a GPU while scenes are simulated."""

from pathlib import Path

import numpy as np
import pytest

from conftest import importer, terrain, write_raster

SIDE, GSD = 128, 0.5


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch):
    return importer(monkeypatch, "tools/stream_training")


def windows() -> np.ndarray:
    """Three windows: with voids and no right image, complete at another height, without DSM."""
    rng = np.random.default_rng(0)
    dsm = terrain(SIDE, SIDE) / 10 + 4 * (rng.random((SIDE, SIDE)) < 0.1).astype(np.float32)
    values = rng.random((3, 5, SIDE, SIDE), np.float32)
    values[0, 0], values[1, 0], values[2, 0] = dsm + 3000, dsm[::-1] * 2, np.nan
    values[0, 0, 20:70, 90:] = values[0, 2] = np.nan
    values[0, 0][rng.random((SIDE, SIDE)) < 0.2] = np.nan
    values[1, 3, :50] = np.nan
    return values


def test_batches_are_encoded_as_the_contract_encodes_windows(tool) -> None:
    torch = pytest.importorskip("torch")
    setup, encoding = tool("refine_setup"), tool("encoding")
    contract = setup.make_contract(setup.make_recipe())
    values = windows()
    statistics = np.array([[0.5, 0.2, 0.4, 0.3], [0.6, 0.1, 0.3, 0.2]] * 2, np.float32)[:3]
    planes, starts, unit = encoding.encode(
        torch.from_numpy(values), GSD, torch.from_numpy(statistics), contract
    )
    assert planes.shape == (3, contract.channels, SIDE, SIDE)
    normals = {layer.name: (layer.offset, layer.scale) for layer in contract.layers}
    for i, window in enumerate(values):
        left, right = statistics[i].reshape(2, 2).tolist()
        images = {"ortho_left": tuple(left), "ortho_right": tuple(right)}
        wanted = contract.encode(window, GSD, normals | images)
        assert unit == wanted.unit
        np.testing.assert_allclose(planes[i].numpy(), wanted.planes, atol=5e-4)
        np.testing.assert_allclose(starts[i].numpy(), wanted.starts, atol=2e-3)


def test_every_place_has_a_credit_and_a_role(tool) -> None:
    places = tool("places")
    assert {place.source for place in places.PLACES.values()} == set(places.CREDITS)
    assert len(places.PLACES) == len(places.TRAINED) + len(places.VALIDATED)
    assert all(place.weight > 0 for place in places.TRAINED)
    assert not any(place.weight for place in places.VALIDATED)


def test_packed_surfaces_are_restored(tool, tmp_path: Path) -> None:
    surfaces, places = tool("surfaces"), tool("places")
    dsm, dtm = terrain(60, 80) + 2, terrain(60, 80)
    dsm[5:9, 5:9] = np.nan
    (tmp_path / "delft").mkdir()
    write_raster(tmp_path / "delft" / "dsm.tif", dsm, nodata=np.nan)
    write_raster(tmp_path / "delft" / "dtm.tif", dtm)
    packed = tmp_path / "packed"
    packed.write_bytes(surfaces.pack(tmp_path, (places.PLACES["delft"],)))
    surface = surfaces.read(packed)["delft"]
    np.testing.assert_array_equal(surface.void, np.isnan(dsm))
    kept, level = ~surface.void, np.median(dtm)
    np.testing.assert_allclose(surface.dsm[kept], dsm[kept] - level, atol=1 / 64)
    np.testing.assert_allclose(surface.dtm[kept], dtm[kept] - level, atol=1 / 64)
    assert surface.gsd == 2.0
    assert surface.albedo is None
