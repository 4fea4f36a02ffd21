"""Fit an avatar to a clip, and say how good it is.

python examples/01_fit_a_clip.py me.mp4 avatars/me
"""

import sys

import gaussavatar


def main(video: str, out: str, recipe: str = "preview") -> None:
    result = gaussavatar.fit(video, out, recipe=recipe, subject="me", consent="self", show_progress=True)
    figures = result.metrics["audio"]
    print(f"avatar: {result.avatar}")
    print(f"head: {figures['psnr_head']:.1f} dB, lips follow with r = {figures['lip_r']:.2f}")
    print(f"report: {result.report}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except gaussavatar.UserError as error:
        sys.exit(f"error: {error}")
