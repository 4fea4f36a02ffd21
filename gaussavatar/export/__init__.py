"""Avatars in formats that other programs read."""
