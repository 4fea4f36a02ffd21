"""From a video to an avatar: request, recipe, stages."""
