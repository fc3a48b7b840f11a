"""Run in the Python of QGIS: algorithms in turn, as a script of a user does.

Argument: a JSON file with pairs of names and values; their logs are written to it.
"""

import json
import os
import sys
from pathlib import Path

sys.path[:0] = ["/usr/share/qgis/python/plugins", os.environ["QGIS_PLUGINPATH"]]

from qgis.core import QgsApplication, QgsProcessingFeedback

app = QgsApplication([], False)
app.initQgis()

import processing
from demiurge.provider import Provider
from processing.core.Processing import Processing

Processing.initialize()
provider = Provider()
QgsApplication.processingRegistry().addProvider(provider)
file = Path(sys.argv[1])
logs = []
for name, values in json.loads(file.read_text()):
    feedback = QgsProcessingFeedback()
    processing.run(f"demiurge:{name}", values, feedback=feedback)
    logs.append(feedback.textLog())
file.write_text(json.dumps(logs))
sys.stdout.flush()
os._exit(0)  # QGIS without a window can crash in its own clean-up
