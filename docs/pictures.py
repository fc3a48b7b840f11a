"""Draws the pictures of the page on simulation: python docs/pictures.py."""

from pathlib import Path

import numpy as np
from PIL import Image

from demiurge.demo.figure import Panel, draw
from demiurge.simulation.settings import STYLES, make_settings
from demiurge.simulation.stereo import simulate_stereo

FOLDER = Path(__file__).parent / "images"
SHOWN = {"plain": 3, "forest": 5, "town": 2, "alpine": 4, "canyon": 1, "snow": 6}


def main() -> None:
    for style, seed in SHOWN.items():
        settings = make_settings({**STYLES[style], "size": 400}, style)
        layers = simulate_stereo(settings, np.random.default_rng(seed))
        path = FOLDER / f"simulated_{style}.png"
        draw(
            path,
            f"{style}: {settings.size} px of {settings.gsd:g} m",
            [
                Panel("truth", layers["truth_dsm"], "height"),
                Panel("initial DSM", layers["dsm"], "height"),
                Panel("its error", layers["dsm"] - layers["truth_dsm"], "error"),
                Panel("left ortho", _grey(layers["ortho_left"]), "image"),
                Panel("right ortho", _grey(layers["ortho_right"]), "image"),
                Panel("triangulation error", layers["triangulation_error"], "spread"),
            ],
            settings.gsd,
            columns=3,
        )
        picture = Image.open(path).convert("RGB")
        wide = 1000
        size = (wide, round(picture.height * wide / picture.width))
        picture.resize(size, Image.Resampling.LANCZOS).save(path.with_suffix(".jpg"), quality=85)
        path.unlink()


def _grey(plane: np.ndarray) -> np.ndarray:
    return np.repeat(plane[..., None], 3, axis=2)


if __name__ == "__main__":
    main()
