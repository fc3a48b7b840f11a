"""Draw the figures of the page on simulation: python docs/pictures.py."""

from pathlib import Path

import numpy as np
from PIL import Image

from demiurge.figure import Panel, draw
from demiurge.scene.open import open_scene
from demiurge.simulation.run import simulate
from demiurge.simulation.settings import make_stereo_settings
from demiurge.simulation.stereo import simulate_stereo
from demiurge.simulation.styles import STEREO

FOLDER = Path(__file__).parent / "images"
STEREO_SHOWN = {"plain": 3, "forest": 5, "town": 2, "alpine": 4, "canyon": 1, "snow": 6}
OPTICAL_SHOWN = {"hills": 1, "alpine": 3, "arid": 4}


def main() -> None:
    for style, seed in STEREO_SHOWN.items():
        _stereo(style, seed)
    for style, seed in OPTICAL_SHOWN.items():
        _optical(style, seed)


def _stereo(style: str, seed: int) -> None:
    settings = make_stereo_settings({**STEREO[style], "size": 400}, style)
    layers = simulate_stereo(settings, np.random.default_rng(seed))
    panels = [
        Panel("truth", layers["truth_dsm"], "height"),
        Panel("initial DSM", layers["dsm"], "height"),
        Panel("its error", layers["dsm"] - layers["truth_dsm"], "error"),
        Panel("left ortho", _colour(layers, "ortho_left"), "image"),
        Panel("right ortho", _colour(layers, "ortho_right"), "image"),
        Panel("triangulation error", layers["triangulation_error"], "uncertainty"),
    ]
    title = f"{style}: {settings.size} px of {settings.gsd:g} m"
    _draw(f"simulated_{style}", title, panels, settings.gsd)


def _optical(style: str, seed: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (made,) = simulate(Path(folder) / "s", family="optical", style=style, seed=seed)
        scene = open_scene(made)
        layers = dict(zip(scene.layers, scene.read(), strict=True))
    panels = [
        Panel("truth", layers["truth_dtm"], "height"),
        Panel("prior of 30 m", layers["dem_prior"], "height"),
        Panel("its error", layers["dem_prior"] - layers["truth_dtm"], "error"),
        Panel("red, green, blue", _colour(layers, "red", "green", "blue"), "image"),
        Panel("near infrared, red, green", _colour(layers, "nir", "red", "green"), "image"),
        Panel("NDVI", _colour(layers, "ndvi"), "image"),
    ]
    _draw(f"optical_{style}", f"{style}: 512 px of 10 m", panels, 10)


def _colour(layers: dict[str, np.ndarray], *names: str) -> np.ndarray:
    planes = [layers[n] for n in names]
    return np.stack(planes if len(planes) == 3 else planes * 3, axis=-1)


def _draw(name: str, title: str, panels: list[Panel], gsd: float) -> None:
    path = FOLDER / f"{name}.png"
    draw(path, title, panels, gsd, columns=3)
    picture = Image.open(path).convert("RGB")
    wide = 1000
    size = (wide, round(picture.height * wide / picture.width))
    picture.resize(size, Image.Resampling.LANCZOS).save(path.with_suffix(".jpg"), quality=82)
    path.unlink()


if __name__ == "__main__":
    main()
