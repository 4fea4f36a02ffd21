"""From a video of any kind to square frames and 16 kHz sound on disk."""
