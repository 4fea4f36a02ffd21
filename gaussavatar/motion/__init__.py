"""Motion of a face and head over time, apart from any avatar."""
