"""A place as layers on one grid: open, read, prepare, check."""
