"""Head models that users install."""
