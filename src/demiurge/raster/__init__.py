"""Pure array functions on rasters that every package may use."""
