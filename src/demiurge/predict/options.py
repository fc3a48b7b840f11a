"""What a user can decide about how a bundle is applied."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from demiurge.predict.choice import PrecisionChoice, RuntimeChoice

Target = Literal["dsm", "dtm", "both"]

#: The options of the command line by which a layer is given.
OPTION_OF = {
    "ortho_left": "--left",
    "ortho_right": "--right",
    "triangulation_error": "--triangulation-error",
    "ndvi": "--ndvi",
    "dem_prior": "--prior",
}


@dataclass(frozen=True)
class Options:
    """How a bundle is applied.

    Attributes
    ----------
    target
        Which heights to write; None for all that the bundle predicts.
    window, overlap
        Side of a window in pixels and share that neighbours have in common; the bundle's if None.
    in_flight
        Windows worked on at a time; does not change the result.
    runtime
        ``openvino``, ``onnxruntime``, ``torch``, or ``auto`` for the fastest that is there.
    precision
        ``f32``, ``bf16``, or ``auto`` for what the bundle was checked for.
    tta
        1, 4 or 8 turned and flipped copies of every window, whose mean is the result.
    keep_voids
        Leave voids of the initial heights void.
    reconcile
        Bring windows of relative heights to one level before they are blended.
    any_pixel_size
        Go on where the pixel size is outside the bundle's range.
    points, points_crs
        File of ground points that the heights are fitted to, and their CRS where it tells none.
    prior_accuracy
        Standard deviation in metres of a prior's errors at its own pixels: the heights keep its
        means as far as it is better than what the bundle knows. 0 takes it at its word, infinity
        leaves all to the bundle. None is as good as the real priors that the bundle learned from;
        one that learned from simulated ones alone takes the heights at their word, but adds what
        it would have changed to their uncertainty.
    detail
        Share of what the bundle adds within a prior's pixels that is kept, 0 to 1; judged on the
        scene at reduced resolution if None.
    thin
        For point clouds and meshes: metres that heights may be off to leave out what is not needed.
    cluster
        ``local:N`` or the address of a Dask scheduler; this process alone if None.
    stac
        Write a STAC item beside the result.
    """

    target: Target | None = None
    window: int | None = None
    overlap: float | None = None
    in_flight: int = 4
    runtime: RuntimeChoice = "auto"
    precision: PrecisionChoice = "auto"
    tta: int = 1
    keep_voids: bool = False
    reconcile: bool = True
    any_pixel_size: bool = False
    prior_accuracy: float | None = None
    detail: float | None = None
    points: str | Path | None = None
    points_crs: str | None = None
    thin: float | None = None
    cluster: str | None = None
    stac: bool = False
    overwrite: bool = False
    quiet: bool = True
