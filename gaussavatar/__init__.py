"""Person-specific Gaussian-splatting head avatars that speak any audio."""

__version__ = "0.1.0"
