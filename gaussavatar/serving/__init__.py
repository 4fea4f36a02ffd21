"""What every page that the program serves itself needs: an address, a door with a token, the player's files."""
