"""The built-in head, generated from the CC0 MakeHuman data."""
