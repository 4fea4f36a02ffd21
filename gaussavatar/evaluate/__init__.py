"""Held-out figures and the report page."""
