"""Styles of results: heights as colours under a hillshade, and a ramp for uncertainty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterLayer,
)

_FOLDER = Path(__file__).with_name("styles")
#: Shares of the pixels below the smallest and the largest colour.
_CUTS = {"heights": (0.02, 0.98), "uncertainty": (0.0, 0.98)}
#: Number of pixels that the range is estimated from.
_SAMPLE = 250_000


def role_of(band: str) -> str:
    """Return the style of a band by its description: ``heights``, ``uncertainty`` or none.

    Bands of surfaces are ``dsm``, ``dsm_uncertainty`` and so on; those of ``certify --map`` are
    the linear error (``le90``) and a mask (``within_…``).
    """
    name = band.lower()
    if name.endswith("_uncertainty") or (name.startswith("le") and name[2:].isdigit()):
        return "uncertainty"
    return "heights" if name.startswith(("dsm", "dtm", "height")) else ""


def band_names(layer: QgsRasterLayer) -> list:
    """Return the descriptions of the bands; empty for bands without one."""
    names = (layer.dataProvider().generateBandName(i + 1) for i in range(layer.bandCount()))
    return [name.partition(":")[2].strip() for name in names]


def apply(layer: QgsRasterLayer, band: int, role: str) -> None:
    """Give a layer the style of a role, with the range of its values."""
    layer.loadNamedStyle(str(_FOLDER / f"{role}.qml"))
    renderer = layer.renderer()
    renderer.setBand(band)
    if role in _CUTS:
        low, high = layer.dataProvider().cumulativeCut(band, *_CUTS[role], layer.extent(), _SAMPLE)
        if low < high:
            renderer.setClassificationMin(low)
            renderer.setClassificationMax(high)
            function = renderer.shader().rasterShaderFunction()
            function.setMinimumValue(low)
            function.setMaximumValue(high)
            function.classifyColorRamp(0, band, layer.extent(), layer.dataProvider())
    layer.triggerRepaint()


class StyledResult(QgsProcessingLayerPostProcessorInterface):
    """Style a loaded result, and add layers for its hillshade and its other bands."""

    #: QGIS does not own post-processors of Python: they must live until the result is loaded.
    _alive: list = []  # noqa: RUF012

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title

    @classmethod
    def create(cls, title: str) -> StyledResult:
        """Return a post-processor that stays alive; layers are named ``TITLE: BAND``."""
        made = cls(title)
        cls._alive[:] = [*cls._alive[-20:], made]
        return made

    def postProcessLayer(
        self, layer: Any, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> None:
        """Style the layer; QGIS calls this in its main thread."""
        if not isinstance(layer, QgsRasterLayer):
            return
        names, title = band_names(layer), self.title
        roles = [(i + 1, name, role_of(name)) for i, name in enumerate(names) if role_of(name)]
        if not roles:
            return
        band, name, role = roles[0]
        apply(layer, band, role)
        layer.setName(f"{title}: {name}")
        tree = _Tree(layer, context)
        for number, name, role in roles:
            first = number == band
            if role == "heights":
                shade = _copy(layer, f"{title}: {name} hillshade", number, "hillshade")
                tree.add(shade, above=first, visible=first)
            if not first:
                tree.add(_copy(layer, f"{title}: {name}", number, role), visible=False)


def _copy(layer: QgsRasterLayer, name: str, band: int, role: str) -> QgsRasterLayer:
    copy = QgsRasterLayer(layer.source(), name, "gdal")
    apply(copy, band, role)
    return copy


class _Tree:
    """The place of a layer in the project, for layers next to it."""

    def __init__(self, layer: QgsRasterLayer, context: QgsProcessingContext) -> None:
        self.project = context.project()
        root = self.project.layerTreeRoot()
        self.node = root.findLayer(layer.id())
        self.parent = root if self.node is None else self.node.parent()
        self.below = 0

    def add(self, layer: QgsRasterLayer, *, above: bool = False, visible: bool = True) -> None:
        """Add a layer directly above the result, or below it and those already added."""
        self.project.addMapLayer(layer, False)
        index = 0 if self.node is None else self.parent.children().index(self.node)
        if not above:
            self.below += 1
            index += self.below
        node = self.parent.insertLayer(index, layer)
        node.setItemVisibilityChecked(visible)
        node.setExpanded(False)
