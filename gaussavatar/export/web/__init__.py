"""The page: an avatar, its player and what to drop a sound on, as one HTML file or a folder (docs/web.md)."""
