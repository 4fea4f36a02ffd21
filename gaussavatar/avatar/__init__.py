"""The avatar folder: reading, writing, checking."""
