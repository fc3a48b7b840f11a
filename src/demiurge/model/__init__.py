"""Networks, losses, and bundles: the files that hold trained networks."""
