"""Scenes from imagery services: catalogues, downloads of windows, masks and composites."""
