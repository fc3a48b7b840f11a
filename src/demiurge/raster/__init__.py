"""Pure array functions on rasters, for all packages."""
