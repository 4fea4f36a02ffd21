"""A face in a pipeline of Pipecat; here a sound file stands where the speech service does.

pip install "gaussavatar-play[pipecat]", and then: python examples/09_pipecat_bot.py AVATAR SOUND.wav
"""

from __future__ import annotations

import asyncio
import sys

import soundfile
from pipecat.frames.frames import EndFrame, Frame, OutputImageRawFrame, TTSAudioRawFrame, TTSStoppedFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

import gaussavatar
from gaussavatar.live.frameworks.pipecat import AvatarService


class Shown(FrameProcessor):
    """Where your transport's output stands; give it video_out_is_live=False and video_out_framerate=25."""

    pictures = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Count pictures."""
        await super().process_frame(frame, direction)
        self.pictures += isinstance(frame, OutputImageRawFrame)
        await self.push_frame(frame, direction)


async def main(avatar: str, sound: str) -> None:
    live, shown = gaussavatar.load_avatar(avatar).live(render="image", size=256, rate=24_000), Shown()
    worker = PipelineWorker(Pipeline([AvatarService(live), shown]))
    samples, rate = soundfile.read(sound, dtype="int16", always_2d=True)
    await worker.queue_frames(
        [TTSAudioRawFrame(samples.tobytes(), rate, samples.shape[1]), TTSStoppedFrame(), EndFrame()]
    )
    runner = WorkerRunner()
    await runner.add_workers(worker)
    await runner.run()
    print(f"{live.stats.spoken_seconds:.2f} s were said, {shown.pictures} pictures shown")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        asyncio.run(main(*sys.argv[1:]))
    except (gaussavatar.UserError, soundfile.LibsndfileError) as error:
        sys.exit(f"error: {error}")
