"""Designs that turn codes into motion of the Gaussians."""
