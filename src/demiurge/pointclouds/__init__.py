"""Point clouds of lidar to scenes: readers, tile indices, and rasters by tile."""
