"""Masks of person, head and mouth, the background plate and what lies under the head."""
