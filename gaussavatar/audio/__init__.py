"""Sound to features to mouth codes."""
