"""Head poses of all frames, from landmarks and then from the skin itself."""
