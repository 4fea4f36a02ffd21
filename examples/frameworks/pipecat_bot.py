"""A Pipecat bot with a face: give your transport, speech recogniser, language model and voice to ``bot``."""

from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.frame_processor import FrameProcessor

import gaussavatar
from gaussavatar.live.frameworks.pipecat import AvatarService


def bot(avatar: str, before: list[FrameProcessor], after: list[FrameProcessor]) -> Pipeline:
    """``before``: from the transport's input to the voice; ``after``: from the transport's output on.

    The transport wants video_out_enabled, video_out_is_live, video_out_framerate=25 and the picture's size.
    """
    live = gaussavatar.load_avatar(avatar).live(render="image", size=512, rate=24_000)
    return Pipeline([*before, AvatarService(live), *after])
