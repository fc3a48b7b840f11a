"""Simulated scenes with exact reference heights: land, cover, light, views, stereo matching."""
