"""What moves in the face besides the head: mouth codes, upper face, the look of the mouth."""
