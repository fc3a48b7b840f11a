"""Results as Datasets of xarray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from demiurge.arrays import Array
from demiurge.predict.surface import Prediction
from demiurge.scene.datasets import dataset_of

if TYPE_CHECKING:
    import xarray


def dataset_of_prediction(
    prediction: Prediction, about: Sequence[str], values: Array
) -> xarray.Dataset:
    """Return a result as a Dataset.

    Parameters
    ----------
    about
        Description of each band.
    values
        float32 (bands, rows, columns), NaN for no data.

    Returns
    -------
    A variable (y, x) for each band, with unit, description and, of heights in metres, the vertical
    reference in its attributes. The attributes of the Dataset are the tags and the notes.
    """
    reference = prediction.tags.get("vertical_reference", "none")
    attributes = {}
    for name, text in zip(prediction.bands, about, strict=True):
        attributes[name] = {"units": prediction.unit, "long_name": text}
        if prediction.unit == "m" and not name.endswith("_uncertainty"):
            attributes[name]["vertical_reference"] = reference
    tags = {**prediction.tags, "notes": "\n".join(prediction.notes)}
    planes = dict(zip(prediction.bands, values, strict=True))
    return dataset_of(prediction.grid, planes, attributes, tags)
