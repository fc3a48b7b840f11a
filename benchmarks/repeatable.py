"""The same command gives the same pixels: twice, with other batches, interrupted reads or not."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import rasterio

from common import Claim, main
from data import resnet_bundle, write_layers
from demiurge import Options, refine

LAYERS = ("dsm", "ortho_left", "ortho_right")


def measure(quick: bool) -> list[Claim]:
    """Pixels that differ between runs of a ResNet-18 U-Net."""
    side = 512 if quick else 1536
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_layers(folder, side, LAYERS)
        bundle = resnet_bundle(folder / "r.bundle", LAYERS)

        def run(batch: int, precision: str) -> np.ndarray:
            out = folder / "out.tif"
            options = Options(in_flight=batch, precision=precision, overwrite=True)  # type: ignore[arg-type]
            refine(
                paths["dsm"], out, left=paths["ortho_left"], right=paths["ortho_right"],
                bundle=bundle, options=options,
            )  # fmt: skip
            with rasterio.open(out) as file:
                return file.read()

        claims = []
        for precision in ("f32", "bf16"):
            first = run(4, precision)
            claims.append(_same(f"{precision}, again", first, run(4, precision)))
            for batch in (1, 2, 9):
                text = f"{precision}, batch {batch} for 4"
                claims.append(_same(text, first, run(batch, precision)))
    return claims


def _same(claim: str, a: np.ndarray, b: np.ndarray) -> Claim:
    count = int((~((a == b) | (np.isnan(a) & np.isnan(b)))).sum())
    return Claim(claim, count, "pixels differ", "= 0", count == 0)


if __name__ == "__main__":
    main(measure)
