"""Sound in, talking video out."""
