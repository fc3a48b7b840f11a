"""Constraints and adjustments of predicted heights: prior, relative windows, control points."""
