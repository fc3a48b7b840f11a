"""The main job on real rasters that come inside other packages."""
