"""The file ``.gsa``: an avatar that speaks and moves in one binary, for pages and other programs (docs/gsa.md)."""
