"""Drive the mouth from an array of your own: here, two seconds of a slow opening and closing.

python examples/03_drive_the_mouth.py avatars/me frames/
"""

import sys
from pathlib import Path

import numpy as np

import gaussavatar


def main(folder: str, out: str) -> None:
    avatar = gaussavatar.load_avatar(folder)
    time = np.arange(50) / 25
    # 0 is a closed mouth, 1 wide open; codes of shape (frames, avatar.filmed.mouth_codes.shape[1]) say all the rest.
    opening = 0.25 * (1 - np.cos(2 * np.pi * time))
    motion = avatar.motion_of_codes(avatar.codes_of_opening(opening))
    for index, picture in enumerate(avatar.frames(motion)):
        if index % 10 == 0:
            gaussavatar.save_picture(Path(out) / f"opening_{opening[index]:.2f}.png", picture)
    print(f"{len(motion)} frames drawn; every tenth is in {out}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except gaussavatar.UserError as error:
        sys.exit(f"error: {error}")
