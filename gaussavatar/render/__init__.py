"""Rasterizers of Gaussians behind one protocol, and the image losses."""
