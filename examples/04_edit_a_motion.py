"""Edit a motion between sound and picture: a wink, lips that move less, and the file that keeps it.

python examples/04_edit_a_motion.py avatars/me hello.wav edited.mp4
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import gaussavatar


def main(folder: str, sound: str, out: str) -> None:
    avatar = gaussavatar.load_avatar(folder)
    motion = avatar.motion_for(sound)
    # Lips that move two thirds as far from the closed mouth.
    closed = avatar.rest.mouth_codes
    codes = closed + (motion.mouth_codes - closed) * np.float32(2 / 3)
    # A wink of a third of a second, half a second in. Channels are named; 1 is this person's strong movement.
    upper = motion.upper.copy()
    left = [index for index, name in enumerate(avatar.upper_names) if "blink" in name and "left" in name]
    upper[np.ix_(range(12, min(20, len(motion))), left)] = 1.0
    edited = replace(motion, mouth_codes=codes, upper=upper)
    track = Path(out).with_suffix(".motion.safetensors")
    edited.save(track)
    again = gaussavatar.MotionTrack.load(track)
    print(gaussavatar.save_video(avatar, sound, out, motion=again))
    print(f"motion: {track}, {again.seconds:.2f} s")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except gaussavatar.UserError as error:
        sys.exit(f"error: {error}")
