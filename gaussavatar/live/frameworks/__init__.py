"""Avatars in the frameworks of voice agents; each file needs that framework, which is imported nowhere else."""
