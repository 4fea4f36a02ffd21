"""Triangle meshes: rasterizing, sampling, components."""
