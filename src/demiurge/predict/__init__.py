"""Applying bundles to scenes of any size, without PyTorch."""
