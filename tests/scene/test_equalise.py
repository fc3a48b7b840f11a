import numpy as np

from demiurge.scene.equalise import fit_equaliser
from demiurge.scene.grid import Window, blocks


def image(rows: int = 300, columns: int = 260) -> np.ndarray:
    rng = np.random.default_rng(2)
    dark = rng.normal(300, 20, (rows, columns))
    dark[:, columns // 2 :] += 2000
    return dark.astype(np.float32)


def test_contrast_fills_the_range() -> None:
    full = image()
    equaliser = fit_equaliser(full, full.shape, tile=64)
    assert equaliser is not None
    out = equaliser.apply(full, Window(0, 0, *full.shape))
    assert out.min() >= 0
    assert out.max() <= 1.0001
    before = full[:, :100].std() / (full.max() - full.min())
    assert out[:, :100].std() > 3 * before


def test_the_mapping_is_monotone_at_a_pixel() -> None:
    full = image()
    equaliser = fit_equaliser(full, full.shape, tile=1024)
    assert equaliser is not None
    out = equaliser.apply(full, Window(0, 0, *full.shape))
    order = np.argsort(full, axis=None)
    assert (np.diff(out.ravel()[order]) >= -1e-6).all()


def test_histograms_ignore_no_data() -> None:
    clean = image()
    torn = clean.copy()
    torn[40:90, 30:70] = np.nan
    torn_by_zero = clean.copy()
    torn_by_zero[40:90, 30:70] = 0
    a = fit_equaliser(torn, torn.shape, tile=2048)
    b = fit_equaliser(torn[~np.isnan(torn)].reshape(-1, 1), (1, 1), tile=2048)
    assert a is not None
    assert b is not None
    np.testing.assert_allclose(a.tables, b.tables, atol=1e-6)
    out = a.apply(torn, Window(0, 0, *torn.shape))
    np.testing.assert_array_equal(np.isnan(out), np.isnan(torn))


def test_windows_equal_the_full_image() -> None:
    full = image()
    equaliser = fit_equaliser(full, full.shape, tile=64)
    assert equaliser is not None
    out = equaliser.apply(full, Window(0, 0, *full.shape))
    for window in blocks(full.shape, 77):
        np.testing.assert_array_equal(
            equaliser.apply(full[window.slices], window), out[window.slices]
        )


def test_an_empty_tile_uses_the_nearest_histogram() -> None:
    full = image()
    full[:64, :64] = np.nan
    equaliser = fit_equaliser(full, full.shape, tile=64)
    assert equaliser is not None
    assert np.isfinite(equaliser.tables).all()


def test_images_without_contrast_have_no_equaliser() -> None:
    assert fit_equaliser(np.full((9, 9), np.nan, np.float32), (9, 9)) is None
    assert fit_equaliser(np.full((9, 9), 5, np.float32), (9, 9)) is None
