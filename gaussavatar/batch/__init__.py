"""Many clips and many sounds at once: rows of commands, what they wait for, and where they are run."""
