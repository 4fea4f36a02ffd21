"""A person who does not exist: pictures, voice and motion with a known truth."""
