"""Definitions of parameters for QGIS, and their values as plain data."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsMapLayer,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterBand,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterCrs,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorLayer,
    QgsProviderRegistry,
)

from .mapping import Parameter

#: Suffixes of point layers that demiurge reads; others are converted to a GeoPackage.
_POINTS = ["gpkg"]


def definition(parameter: Parameter) -> QgsProcessingParameterDefinition:
    """Return the definition of a parameter."""
    made = _BUILD[parameter.kind](parameter)
    made.setHelp(parameter.help)
    if parameter.advanced:
        made.setFlags(made.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
    return made


def _plain(kind: Any, **more: Any) -> Any:
    def build(p: Parameter) -> Any:
        return kind(p.name, p.label, defaultValue=p.default, optional=not p.required, **more)

    return build


def _number(p: Parameter) -> Any:
    numbers = QgsProcessingParameterNumber
    kind = numbers.Integer if p.kind == "integer" else numbers.Double
    limits = {"minValue": p.minimum, "maxValue": p.maximum}
    return numbers(
        p.name,
        p.label,
        type=kind,
        defaultValue=p.default,
        optional=not p.required,
        **{name: value for name, value in limits.items() if value is not None},
    )


def _choice(p: Parameter) -> Any:
    return QgsProcessingParameterEnum(
        p.name,
        p.label,
        options=list(p.choices),
        defaultValue=p.default,
        optional=not p.required,
        usesStaticStrings=True,
    )


def _file(p: Parameter) -> Any:
    return QgsProcessingParameterFile(
        p.name, p.label, optional=not p.required, fileFilter=p.filter or "All files (*)"
    )


def _folder(p: Parameter) -> Any:
    folder = QgsProcessingParameterFile.Folder
    return QgsProcessingParameterFile(p.name, p.label, behavior=folder, optional=not p.required)


def _band(p: Parameter) -> Any:
    return QgsProcessingParameterBand(
        p.name, p.label, parentLayerParameterName=p.parent, optional=not p.required
    )


def _points_layer(p: Parameter) -> Any:
    return QgsProcessingParameterVectorLayer(
        p.name, p.label, types=[QgsProcessing.TypeVectorPoint], optional=not p.required
    )


def _rasters(p: Parameter) -> Any:
    return QgsProcessingParameterMultipleLayers(
        p.name, p.label, layerType=QgsProcessing.TypeRaster, optional=not p.required
    )


def _output(kind: Any) -> Any:
    def build(p: Parameter) -> Any:
        words = {"fileFilter": p.filter} if kind is QgsProcessingParameterFileDestination else {}
        return kind(p.name, p.label, optional=not p.required, createByDefault=p.required, **words)

    return build


_BUILD = {
    "raster": _plain(QgsProcessingParameterRasterLayer),
    "rasters": _rasters,
    "band": _band,
    "file": _file,
    "folder": _folder,
    "points_layer": _points_layer,
    "integer": _number,
    "number": _number,
    "boolean": _plain(QgsProcessingParameterBoolean),
    "choice": _choice,
    "text": _plain(QgsProcessingParameterString),
    "lines": _plain(QgsProcessingParameterString, multiLine=True),
    "crs": _plain(QgsProcessingParameterCrs),
    "bounds": _plain(QgsProcessingParameterExtent),
    "raster_output": _output(QgsProcessingParameterRasterDestination),
    "file_output": _output(QgsProcessingParameterFileDestination),
    "folder_output": _output(QgsProcessingParameterFolderDestination),
}


def value_of(
    algorithm: QgsProcessingAlgorithm,
    p: Parameter,
    parameters: dict,
    context: QgsProcessingContext,
    feedback: QgsProcessingFeedback,
) -> Any:
    """Return the value of a parameter as text, number, boolean or list; None if it is not set."""
    raw = parameters.get(p.name, p.default)
    if raw is None or (hasattr(raw, "isNull") and raw.isNull()) or raw in ("", []):
        return None
    a, name = algorithm, p.name
    read = {
        "raster": lambda: raster_name(a.parameterAsRasterLayer(parameters, name, context), raw),
        "rasters": lambda: [
            raster_name(layer) for layer in a.parameterAsLayerList(parameters, name, context)
        ],
        "band": lambda: a.parameterAsInt(parameters, name, context) or None,
        "file": lambda: a.parameterAsFile(parameters, name, context),
        "folder": lambda: a.parameterAsFile(parameters, name, context),
        "points_layer": lambda: a.parameterAsCompatibleSourceLayerPath(
            parameters, name, context, _POINTS, "gpkg", feedback
        ),
        "integer": lambda: a.parameterAsInt(parameters, name, context),
        "number": lambda: a.parameterAsDouble(parameters, name, context),
        "boolean": lambda: a.parameterAsBool(parameters, name, context),
        "choice": lambda: a.parameterAsEnumString(parameters, name, context),
        "text": lambda: a.parameterAsString(parameters, name, context),
        "lines": lambda: [
            line.strip()
            for line in a.parameterAsString(parameters, name, context).splitlines()
            if line.strip()
        ],
        "crs": lambda: _crs(a.parameterAsCrs(parameters, name, context)),
        "bounds": lambda: _degrees(
            a.parameterAsExtent(
                parameters, name, context, QgsCoordinateReferenceSystem("EPSG:4326")
            )
        ),
        "raster_output": lambda: a.parameterAsOutputLayer(parameters, name, context),
        "file_output": lambda: a.parameterAsFileOutput(parameters, name, context),
        "folder_output": lambda: a.parameterAsFileOutput(parameters, name, context),
    }
    return read[p.kind]()


def raster_name(layer: QgsMapLayer | None, given: Any = "") -> str:
    """Return the name under which GDAL opens a layer."""
    if layer is None:
        raise QgsProcessingException(f"'{given}' is no raster layer; choose a raster.")
    if layer.providerType() != "gdal":
        raise QgsProcessingException(
            f"{layer.name()}: is no raster file but a layer of '{layer.providerType()}'; export it "
            "to a GeoTIFF first (Layer > Save As)."
        )
    parts = QgsProviderRegistry.instance().decodeUri("gdal", layer.source())
    path, inner = parts.get("path") or layer.source(), parts.get("layerName")
    return f"GPKG:{path}:{inner}" if inner and path.lower().endswith(".gpkg") else path


def _degrees(box: Any) -> str:
    """Return west, south, east and north of an extent."""
    sides = (box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum())
    return ",".join(f"{side:.9g}" for side in sides)


def _crs(crs: Any) -> str | None:
    """Return the code of a CRS, or its WKT if it has none that demiurge knows."""
    if not crs.isValid():
        return None
    code = crs.authid()
    return code if code and not code.startswith("USER:") else crs.toWkt()
