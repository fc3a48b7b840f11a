"""Surfaces as point clouds and meshes."""
