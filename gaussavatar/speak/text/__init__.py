"""Text to sound, through whichever speech engine a user has installed."""
