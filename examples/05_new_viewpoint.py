"""Look at one state of the face from viewpoints that were never filmed.

python examples/05_new_viewpoint.py avatars/me around.png
"""

import sys
from pathlib import Path

import numpy as np

import gaussavatar


def main(folder: str, out: str) -> None:
    avatar = gaussavatar.load_avatar(folder)
    face = gaussavatar.FaceState(avatar.filmed.mouth_codes[0], avatar.filmed.upper[0])
    views = [avatar.camera(yaw=yaw, pitch=5, zoom=1.1, size=256) for yaw in (-20, -10, 0, 10, 20)]
    pictures = [avatar.picture(face, camera=view, background="#20303f") for view in views]
    gaussavatar.save_picture(Path(out), np.concatenate(pictures, axis=1))
    print(f"{len(pictures)} views in {out}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except gaussavatar.UserError as error:
        sys.exit(f"error: {error}")
