"""Reading users' files without running anything that is in them."""
