from __future__ import annotations

from gaussavatar.motion.edit import channel_groups


def test_sliders_join_the_sides_but_not_the_directions() -> None:
    names = ("eyeBlinkLeft", "eyeBlinkRight", "jawLeft", "jawRight", "jawOpen", "mouthSmileLeft", "mouthSmileRight")
    assert channel_groups(names) == {
        "eyeBlink": [0, 1], "jawLeft": [2], "jawRight": [3], "jawOpen": [4], "mouthSmile": [5, 6],
    }  # fmt: skip
