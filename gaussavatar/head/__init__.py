"""Head models: meshes with identity, expression, joints and landmarks."""
