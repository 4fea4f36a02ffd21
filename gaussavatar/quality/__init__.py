"""Whether a clip is worth hours of training: measurements, a verdict, an overlay video and a page."""
