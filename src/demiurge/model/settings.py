"""Settings of the network, readable without PyTorch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from demiurge.config import Strict


class NetworkSettings(Strict):
    """Settings of the network."""

    architecture: Literal[
        "unet", "unetplusplus", "fpn", "linknet", "manet", "resdepth", "pix2pix"
    ] = Field(
        "unet",
        description="decoder family; resdepth and pix2pix: the U-Nets of those papers",
    )
    encoder: str = Field("resnet18", description="encoder; any encoder of timm as tu-NAME")
    depth: int = Field(
        5, ge=3, le=8, description="number of times that the encoder halves the resolution"
    )
    decoder_channels: list[Annotated[int, Field(gt=0)]] | None = Field(
        None,
        min_length=1,
        description="widths of the decoder, coarse to fine, one for each level; for resdepth and "
        "pix2pix the width of the finest level",
    )
    upsampling: Literal["nearest", "bilinear"] = Field(
        "bilinear",
        description="interpolation in the decoder; nearest leaves a grid pattern",
    )
    detail: int = Field(
        0,
        ge=0,
        description="width of a branch at full resolution, merged before the last layer; 0: none",
    )
    members: int = Field(
        1,
        ge=1,
        le=8,
        description="number of networks whose heights are averaged; what they differ by adds to "
        "the uncertainty. Time and size grow with it",
    )
    pretrained: bool = Field(
        False, description="start from ImageNet weights of the encoder (downloaded once)"
    )

    @model_validator(mode="after")
    def _buildable(self) -> NetworkSettings:
        """Reject settings that no network can be built from, and settings without effect."""
        own, widths = self.architecture in ("resdepth", "pix2pix"), self.decoder_channels
        if self.depth > 5 and not own:
            raise ValueError("depth is above 5; only resdepth and pix2pix go deeper")
        if self.architecture == "fpn" and (self.depth != 5 or self.detail):
            raise ValueError("fpn needs a depth of 5 and no detail")
        if own and (self.detail or self.pretrained):
            raise ValueError(f"{self.architecture} has neither detail nor pretrained weights")
        if own and self.members > 1:
            raise ValueError(f"{self.architecture} is one network; members must be 1")
        if widths is not None:
            if self.architecture in ("fpn", "linknet"):
                raise ValueError(f"{self.architecture} has no decoder_channels")
            wanted = 1 if own else self.depth
            if len(widths) != wanted:
                raise ValueError(
                    f"decoder_channels names {len(widths)} widths; {self.architecture} of depth "
                    f"{self.depth} needs {wanted}"
                )
        return self

    @property
    def multiple(self) -> int:
        """Return the number of pixels that a window's side must be a multiple of."""
        return max(32, 1 << self.depth)
