"""Networks and recipes of published methods, for comparison: pix2pix, ResDepth, DeepDEM."""
