"""Run in the Python of QGIS: cancel refine, run it, load the result as QGIS does, draw the map.

Arguments: folder for ``layers.json``, ``cancelled.json`` and ``map.png``, DSM, bundle.
"""

import json
import os
import sys
from pathlib import Path

sys.path[:0] = ["/usr/share/qgis/python/plugins", os.environ["QGIS_PLUGINPATH"]]

from qgis.core import (
    QgsApplication,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProcessingFeedback,
    QgsProject,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor, QPainter

folder, dsm, bundle = map(Path, sys.argv[1:4])
app = QgsApplication([], False)
app.initQgis()

import processing
from demiurge.provider import Provider
from processing.core.Processing import Processing

Processing.initialize()
provider = Provider()
QgsApplication.processingRegistry().addProvider(provider)
values = {"dsm": str(dsm), "bundle": str(bundle), "any_input": True}


class Impatient(QgsProcessingFeedback):
    """Cancel at the first progress."""

    lines: list = []  # noqa: RUF012

    def setProgressText(self, text: str) -> None:  # noqa: N802
        self.lines.append(text)
        self.cancel()


away = folder / "cancelled"
away.mkdir()
result = processing.run(
    "demiurge:refine", values | {"output": str(away / "x.tif")}, feedback=Impatient()
)
left = [p.name for p in away.iterdir()]
report = {"result": result, "left": left, "lines": Impatient.lines}
(folder / "cancelled.json").write_text(json.dumps(report))

target = str(folder / "surface.tif")
processing.runAndLoadResults("demiurge:refine", values | {"output": target})

project = QgsProject.instance()
nodes = project.layerTreeRoot().findLayers()
rows = []
for node in nodes:
    layer = node.layer()
    renderer = layer.renderer()
    blend = layer.blendMode() == QPainter.CompositionMode_Multiply
    row = {
        "name": layer.name(),
        "type": renderer.type(),
        "band": renderer.usesBands()[0],
        "visible": node.itemVisibilityChecked(),
        "blend": "multiply" if blend else "other",
    }
    if renderer.type() == "singlebandpseudocolor":
        row["range"] = [renderer.classificationMin(), renderer.classificationMax()]
    rows.append(row)
(folder / "layers.json").write_text(json.dumps(rows))


def draw(layers: list, path: Path) -> None:
    settings = QgsMapSettings()
    settings.setLayers(layers)
    settings.setDestinationCrs(layers[0].crs())
    settings.setExtent(layers[0].extent())
    settings.setBackgroundColor(QColor("white"))
    settings.setOutputSize(QSize(800, round(800 * layers[0].height() / layers[0].width())))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(str(path))


draw([n.layer() for n in nodes if n.itemVisibilityChecked()], folder / "map.png")
for node in nodes:
    if node.layer().name().endswith("uncertainty"):
        draw([node.layer()], folder / f"{node.layer().name().split(': ')[1]}.png")
os._exit(0)  # QGIS without a window can crash in its own clean-up
