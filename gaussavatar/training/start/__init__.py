"""The avatar before training: Gaussians placed on the person."""
