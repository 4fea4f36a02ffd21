"""Let an avatar speak, and take its pictures one by one, as a program that shows them would.

python examples/02_speak_frames.py avatars/me hello.wav frames/
"""

import sys
from pathlib import Path

import gaussavatar


def main(folder: str, sound: str, out: str) -> None:
    avatar = gaussavatar.load_avatar(folder)
    count = 0
    for count, picture in enumerate(avatar.speak(sound), start=1):
        # A picture is a uint8 array (height, width, 3); 25 of them are a second.
        if count % 25 == 1:
            gaussavatar.save_picture(Path(out) / f"{count:05d}.png", picture)
    print(f"{count} pictures of {avatar.size} x {avatar.size}; one of each second is in {out}")
    # The same as a video with its sound.
    print(gaussavatar.save_video(avatar, sound, Path(out) / "spoken.mp4"))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except gaussavatar.UserError as error:
        sys.exit(f"error: {error}")
