"""The person's own head in every frame, and the channels that a face has names for."""
