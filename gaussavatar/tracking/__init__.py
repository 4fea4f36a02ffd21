"""Face landmarks of every frame, the head pose and the motion of the face."""
