"""Fitting the avatar: stages as data, one loop."""
