"""The demonstration: refine and generate on small rasters that ship with the package."""
