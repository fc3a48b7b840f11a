"""A command of demiurge as a Processing algorithm."""

from __future__ import annotations

import shlex
import time
from html import escape
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
)
from qgis.PyQt.QtGui import QIcon

from . import command, mapping
from .forms import definition, value_of
from .specification import CommandCard
from .styles import StyledResult

#: Seconds between lines about the same stage; QGIS keeps every line in its log.
_SECONDS = 10.0


class Algorithm(QgsProcessingAlgorithm):
    """One command; its parameters come from the description of its options."""

    def __init__(
        self, card: CommandCard, layers: tuple, group: str, program: str, problem: str = ""
    ) -> None:
        super().__init__()
        self.card, self.layers, self._group = card, layers, group
        self.program, self.problem = program, problem
        self.parameters = mapping.parameters(card, layers)

    def createInstance(self) -> Algorithm:
        """Return a copy; QGIS runs copies."""
        return Algorithm(self.card, self.layers, self._group, self.program, self.problem)

    def name(self) -> str:
        """Return the last part of the id."""
        return self.card.name

    def displayName(self) -> str:
        """Return the name in the toolbox."""
        return self.card.name.capitalize()

    def shortDescription(self) -> str:
        """Return the summary in one line."""
        return self.card.summary

    def group(self) -> str:
        """Return the group in the toolbox."""
        return self._group

    def groupId(self) -> str:
        """Return the id of the group."""
        return self._group.lower()

    def icon(self) -> QIcon:
        """Return the icon."""
        return QIcon(str(Path(__file__).with_name("icon.svg")))

    def shortHelpString(self) -> str:
        """Return the help of the command and of each parameter."""
        paragraphs = [" ".join(part.split()) for part in self.card.help.split("\n\n")]
        text = "".join(f"<p>{escape(part)}</p>" for part in paragraphs if part)
        rows = [f"<b>{escape(p.label)}</b>: {escape(p.help)}" for p in self.parameters]
        return text + "".join(f"<p>{row}</p>" for row in rows)

    def canExecute(self) -> tuple[bool, str]:
        """Return whether demiurge was found, else what to do."""
        return not self.problem, self.problem

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        """Add the parameters."""
        for parameter in self.parameters:
            self.addParameter(definition(parameter))

    def checkParameterValues(
        self, parameters: dict, context: QgsProcessingContext
    ) -> tuple[bool, str]:
        """Refuse values before the run: those that QGIS refuses, and missing alternatives."""
        fine, message = super().checkParameterValues(parameters, context)
        if not fine:
            return fine, message
        given = {p.name: _given(parameters.get(p.name)) for p in self.parameters}
        fault = mapping.fault(self.card, self.layers, given)
        return not fault, fault

    def processAlgorithm(
        self, parameters: dict, context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict:
        """Run the command; its progress, notes and output appear in the log."""
        if self.problem:
            raise QgsProcessingException(self.problem)
        values = {p.name: value_of(self, p, parameters, context, feedback) for p in self.parameters}
        outputs = {
            p.name: values[p.name]
            for p in self.parameters
            if p.kind.endswith("output") and values[p.name]
        }
        words = mapping.arguments(self.card, self.layers, values)
        feedback.pushCommandInfo(shlex.join([self.program, *words]))
        try:
            command.run(
                self.program,
                words,
                outputs=tuple(outputs.values()),
                event=_Log(feedback),
                line=feedback.pushConsoleInfo,
                cancelled=feedback.isCanceled,
            )
        except command.CancelledError:
            feedback.pushInfo("cancelled")
            return {}
        except command.FailedError as error:
            raise QgsProcessingException(str(error)) from None
        rasters = [p.name for p in self.parameters if p.kind == "raster_output"]
        for name in rasters:
            path = outputs.get(name, "")
            if path and context.willLoadLayerOnCompletion(path):
                # A temporary file has the name of the parameter.
                stem = Path(path).stem
                title = self.displayName() if stem == name else stem
                details = context.layerToLoadOnCompletionDetails(path)
                details.setPostProcessor(StyledResult.create(title))
        return outputs


def _given(value: Any) -> Any:
    """Return None for values that QGIS takes as not set."""
    null = hasattr(value, "isNull") and value.isNull()
    return None if value is None or null or value in ("", []) else value


class _Log:
    """Show events of demiurge: the bar always, a line for each stage and then every ten seconds."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self.feedback = feedback
        self.stage, self.next = "", 0.0

    def __call__(self, found: dict) -> None:
        if found["event"] == "note":
            self.feedback.pushInfo(f"note: {found['text']}")
        elif found["event"] == "progress" and found.get("total"):
            self._progress(found)

    def _progress(self, found: dict) -> None:
        done, total, now = found["done"], found["total"], time.monotonic()
        self.feedback.setProgress(min(100 * done / total, 100))
        if found["stage"] == self.stage and now < self.next:
            return
        self.stage, self.next = found["stage"], now + _SECONDS
        state = f"{done:.5g}/{total:.5g} {found.get('unit', '')}".rstrip()
        text = f"{self.stage}: {state}  {found.get('note', '')}".rstrip()
        self.feedback.setProgressText(text)
