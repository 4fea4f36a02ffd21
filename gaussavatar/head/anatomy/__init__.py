"""Parts that head models are given or asked for: eyeballs, teeth."""
