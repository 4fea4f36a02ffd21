"""The avatar live: a voice goes in as it comes, motion or pictures and the same sound come out, frame by frame."""
