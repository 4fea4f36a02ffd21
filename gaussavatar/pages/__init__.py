"""HTML pages: what they share."""
