"""Bases of the accuracy of lidar, whose changes are shrunk more than those of stereo."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from demiurge.config import Strict


class CleanInput(Strict):
    """Shrinkage of changes by the smoothness of the base.

    See :func:`demiurge.raster.smoothness.smoothness`: lidar has 2 to 3.5, stereo matching 3.3 to
    5.6.
    """

    shrink: Annotated[float, Field(gt=0)] = Field(
        1.0, description="soft threshold in predicted standard deviations up to `low`"
    )
    low: Annotated[float, Field(gt=0)] = 2.7
    high: Annotated[float, Field(gt=0)] = Field(
        3.2, description="smoothness from which the usual threshold applies; linear in between"
    )

    @model_validator(mode="after")
    def _ordered(self) -> CleanInput:
        if self.high <= self.low:
            raise ValueError("high must be above low")
        return self

    def threshold(self, usual: float, smoothness: float | None) -> float:
        """Return the soft threshold for a base, at least ``usual``.

        Parameters
        ----------
        usual
            The threshold for stereo.
        smoothness
            Smoothness of the base; None if too little of it is measured.
        """
        if smoothness is None:
            return usual
        share = (self.high - smoothness) / (self.high - self.low)
        return max(usual, usual + min(max(share, 0.0), 1.0) * (self.shrink - usual))
