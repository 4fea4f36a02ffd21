"""What is computed on whole pictures: losses, perceptual distances, filling, cutting out."""
