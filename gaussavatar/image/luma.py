"""Brightness of a colour."""

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in it (ITU-R BT.601)."""
