"""Edit a motion as data: controls, keyframes, a table for a spreadsheet, idling before and after, 50 frames a second.

python examples/06_edit_motion.py avatars/me hello.wav edited
"""

import sys
from pathlib import Path

import gaussavatar


def main(folder: str, sound: str, out: str) -> None:
    avatar, out = gaussavatar.load_avatar(folder), Path(out)
    spoken = avatar.motion_for(sound)
    # Wishes: new blinks at this person's own rate, a head that sways by itself, a little more mouth.
    wishes = gaussavatar.Controls(blink="generated", head="generated", mouth_gain=1.1)
    motion = avatar.controlled(spoken, wishes, seed=7, sound=sound)
    # Keyframes: the lids shut from .4 to .6 s, with soft ways there and back. All other frames stay as they are.
    lids = [name for name in avatar.upper_names if "blink" in name]
    motion = motion.with_keyframes({name: {0.4: 1.0, 0.6: 1.0} for name in lids}, ease=0.12)
    # A table that a spreadsheet opens; what it saves is read back.
    motion.save(out / "motion.csv")
    motion = avatar.motion_from(out / "motion.csv")
    print(f"table: {out / 'motion.csv'}, {len(motion)} rows")
    # The same as curves of ARKit's 52 shapes, for other programs.
    gaussavatar.write_curves(out / "curves.csv", avatar.curves_of(motion))
    # A second of silence before and after, without a jump.
    before, after = avatar.idle(1.0, seed=1, before=motion), avatar.idle(1.0, seed=2, after=motion)
    whole = gaussavatar.MotionTrack.joined([before, motion, after]).at_fps(50)
    whole.save(out / "whole.safetensors")
    print(f"whole: {whole.seconds:.2f} s, {len(whole)} frames at {whole.fps:g} per second")
    for moment in (1.5, 2.5):
        frame = whole.frame_at(moment)
        picture = next(avatar.frames(whole.frames(frame, frame + 1)))
        gaussavatar.save_picture(out / f"at_{moment:.1f}.png", picture)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except gaussavatar.UserError as error:
        sys.exit(f"error: {error}")
