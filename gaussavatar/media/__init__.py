"""Video and sound in and out, all of it through ffmpeg."""
