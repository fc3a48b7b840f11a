"""QGIS plugin: demiurge's commands as Processing algorithms.

The plugin runs the command line of an installed demiurge; it needs no Python package.
"""


def classFactory(iface):
    """Return the plugin; QGIS calls this."""
    from .plugin import Plugin

    return Plugin(iface)
