"""Export of surfaces as point clouds and meshes."""
