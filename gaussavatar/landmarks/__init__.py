"""Faces in pictures: the detector, its 478 points, which of them is what, and what is measured on them."""
