"""What can be heard in a sound: one file per feature, and what they have in common in ``api``."""
