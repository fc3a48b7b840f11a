"""Scenes with exact truth: terrain, cover, light, views, and a real stereo matcher."""
