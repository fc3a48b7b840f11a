"""Which network: settings that are read without PyTorch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from demiurge.scene.spec import Strict


class NetworkSettings(Strict):
    """Which network."""

    architecture: Literal[
        "unet", "unetplusplus", "fpn", "linknet", "manet", "resdepth", "pix2pix"
    ] = Field(
        "unet",
        description="decoder family; resdepth and pix2pix are those papers' own U-Nets",
    )
    encoder: str = Field("resnet18", description="encoder; any name that timm knows as tu-NAME")
    depth: int = Field(5, ge=3, le=8, description="halvings of the resolution")
    decoder_channels: list[int] | None = Field(
        None,
        description="widths of the decoder, coarse to fine, one for each halving; for resdepth and "
        "pix2pix that of the finest level alone",
    )
    upsampling: Literal["nearest", "bilinear"] = Field(
        "bilinear",
        description="how the decoder doubles the resolution; nearest leaves a lattice",
    )
    detail: int = Field(
        0,
        ge=0,
        description="width of a branch at full resolution that joins before the answer; 0 for none",
    )
    pretrained: bool = Field(
        False, description="begin with the encoder's ImageNet weights (fetched once)"
    )

    @property
    def multiple(self) -> int:
        """Return what a window's side in pixels must be a multiple of."""
        return max(32, 1 << self.depth)
