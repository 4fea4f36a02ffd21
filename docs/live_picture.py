"""Draw docs/live.jpg: frames of streamed speech that is interrupted, above its waveform and the opening of the lips.

python docs/live_picture.py AVATAR SOUND    # the demo's actor, who does not exist: make demo
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gaussavatar.avatar.avatar import load_avatar
from gaussavatar.avatar.live.records import FPS, FRAME, LiveFrame
from gaussavatar.avatar.live.sound import to_int16
from gaussavatar.media.sound_file import read_audio
from gaussavatar.storage import atomic_path
from gaussavatar.types import ANALYSIS_RATE

PICTURE = Path(__file__).resolve().parent / "live.jpg"
SPEAK, CLEAR, AGAIN, END = 8, 62, 80, 120
"""Frames before which sound is pushed, cleared and pushed again, and where it ends."""
WIDTH, SIDE, CLOSE = 1600, 100, 160
LEFT = 70
INK, FAINT, BLUE, RED = "#222222", "#bbbbbb", "#3566b8", "#c0392b"
AROUND = range(CLEAR - 3, CLEAR + 6)


def main(avatar_folder: str, sound: str) -> None:
    """Speak, interrupt, speak, and draw it."""
    avatar = load_avatar(avatar_folder)
    samples = to_int16(read_audio(Path(sound)).samples[ANALYSIS_RATE // 2 :].astype(np.float32))
    now = [0.0]
    live = avatar.live(render="image", seed=3, rate=ANALYSIS_RATE, clock=lambda: now[0])
    frames: list[LiveFrame] = []
    for index in range(END):
        if index in (SPEAK, AGAIN):
            live.push(samples[: 4 * ANALYSIS_RATE], ANALYSIS_RATE)
        if index == CLEAR:
            live.clear()
        now[0] = index * FRAME
        frames += live.poll()
    live.close()
    wide = avatar.codes_of_opening(np.array([1.0]))[0] - avatar.rest.mouth_codes
    away = np.stack([frame.motion.codes for frame in frames]) - avatar.rest.mouth_codes
    draw_all(frames, away @ wide / (wide @ wide))


def draw_all(frames: list[LiveFrame], opening: np.ndarray) -> None:
    """The strip, the frames around the interruption, the waveform and the opening, on one axis of time."""
    sheet = Image.new("RGB", (WIDTH, SIDE + CLOSE + 330), "white")
    pen, small = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    span = WIDTH - LEFT - 20

    def x_of(index: float) -> float:
        return LEFT + span * index / END

    count = span // SIDE
    for place in range(count):
        index = round((place + 0.5) * END / count)
        sheet.paste(face(frames[index], SIDE), (round(x_of((place + 0.5) * END / count)) - SIDE // 2, 0))
    for place, index in enumerate(AROUND):
        left = LEFT + place * (span // len(AROUND)) + (span // len(AROUND) - CLOSE) // 2
        sheet.paste(face(frames[index], CLOSE), (left, SIDE + 28))
        text = f"{(index - CLEAR) * 40:+d} ms" if index != CLEAR else "clear(), next frame"
        pen.text((left + 4, SIDE + 30 + CLOSE), text, RED if index >= CLEAR else INK, small)
    pen.text((LEFT, SIDE + 6), "around the interruption, every frame:", INK, small)
    top, middle = SIDE + CLOSE + 60, SIDE + CLOSE + 110
    heard = np.concatenate([frame.audio for frame in frames]).astype(float) / 32768
    columns = np.array_split(heard, span)
    for column, part in enumerate(columns):
        x = LEFT + column
        pen.line([(x, middle - 50 * part.max()), (x, middle - 50 * part.min())], BLUE)
    pen.text((4, middle - 8), "sound", BLUE, small)
    base = top + 220
    pen.line([(LEFT, base), (WIDTH - 20, base)], FAINT)
    pen.text((4, base - 60), "opening", INK, small)
    line = [(x_of(index + 0.5), base - 90 * value) for index, value in enumerate(opening)]
    pen.line(line, INK, 2)
    for index, text in ((SPEAK, "push()"), (CLEAR, "clear()"), (AGAIN, "push()")):
        colour = RED if index == CLEAR else FAINT
        pen.line([(x_of(index), top), (x_of(index), base + 12)], colour)
        pen.text((x_of(index) + 4, base + 2), text, RED if index == CLEAR else INK, small)
    for second in range(END // FPS + 1):
        pen.text((x_of(second * FPS) - 4, base + 18), f"{second} s", INK, small)
    with atomic_path(PICTURE) as path:
        sheet.save(path, "JPEG", quality=85)


def face(frame: LiveFrame, side: int) -> Image.Image:
    """The lower part of the picture's middle, where the mouth is."""
    assert frame.image is not None
    size = frame.image.shape[0]
    box = tuple(round(share * size) for share in (0.29, 0.4, 0.71, 0.82))
    return Image.fromarray(frame.image).crop(box).resize((side, side), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("python docs/live_picture.py AVATAR SOUND")
    main(*sys.argv[1:])
