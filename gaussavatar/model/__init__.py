"""The avatar: canonical Gaussians and what moves them."""
