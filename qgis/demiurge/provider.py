"""The Processing provider: settings, and an algorithm for each command."""

from __future__ import annotations

from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsApplication, QgsMessageLog, QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from . import command
from .algorithm import Algorithm
from .specification import CommandCard, Specification

SETTING = "DEMIURGE_COMMAND"
#: Commands that are algorithms if the installed demiurge has them, with their group.
COMMANDS = {
    "fetch": "Data",
    "lidar": "Data",
    "prepare": "Data",
    "refine": "Heights",
    "generate": "Heights",
    "evaluate": "Accuracy",
    "certify": "Accuracy",
    "export": "Export",
}
#: Those that every demiurge has; listed, with the reason, while none is found.
_ALWAYS = ("prepare", "refine", "generate", "evaluate", "certify", "export")


class Provider(QgsProcessingProvider):
    """Algorithms of the installed demiurge."""

    def __init__(self) -> None:
        super().__init__()
        self.problem = ""
        self.version = ""

    def id(self) -> str:
        """Return the prefix of the algorithms' ids."""
        return "demiurge"

    def name(self) -> str:
        """Return the name in the toolbox."""
        return "demiurge"

    def longName(self) -> str:
        """Return the name with the version that is used."""
        return f"demiurge {self.version}".rstrip()

    def icon(self) -> QIcon:
        """Return the icon."""
        return QIcon(str(Path(__file__).with_name("icon.svg")))

    def supportedOutputRasterLayerExtensions(self) -> list:
        """Return the suffixes of rasters that are written."""
        return ["tif", "tiff"]

    def supportsNonFileBasedOutput(self) -> bool:
        """Return False: results are files."""
        return False

    def warningMessage(self) -> str:
        """Return why the algorithms cannot run; QGIS shows it in the toolbox."""
        return self.problem

    def load(self) -> bool:
        """Add the setting, and load the algorithms."""
        ProcessingConfig.settingIcons[self.name()] = self.icon()
        ProcessingConfig.addSetting(
            Setting(
                self.name(),
                SETTING,
                "Path of the demiurge command ($DEMIURGE or PATH if empty)",
                "",
                valuetype=Setting.FILE,
            )
        )
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        """Remove the setting."""
        ProcessingConfig.removeSetting(SETTING)
        ProcessingConfig.settingIcons.pop(self.name(), None)

    def loadAlgorithms(self) -> None:
        """Add an algorithm for each command of the installed demiurge."""
        program, found = self._find()
        for name, group in COMMANDS.items():
            if found is None:
                card = CommandCard(name, "", self.problem, ())
                if name in _ALWAYS:
                    self.addAlgorithm(Algorithm(card, (), group, "", self.problem))
            elif name in found.commands:
                self.addAlgorithm(Algorithm(found.commands[name], found.layers, group, program))

    def _find(self) -> tuple[str, Specification | None]:
        self.problem = self.version = ""
        folder = Path(QgsApplication.qgisSettingsDirPath()) / "demiurge"
        try:
            program = command.find(ProcessingConfig.getSetting(SETTING) or "")
            found = command.specification(program, folder)
        except command.NotFoundError as error:
            self.problem = str(error)
            QgsMessageLog.logMessage(self.problem, "demiurge")
            return "", None
        self.version = found.version
        return program, found
