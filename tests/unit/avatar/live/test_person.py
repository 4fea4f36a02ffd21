"""Who is live: nothing jumps between rest and speech, listens, and is never the same minute twice."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np

from gaussavatar.avatar.avatar import Avatar
from tests.unit.avatar.live.sessions import RATE, babble, heard, run, session


def test_the_same_seed_is_the_same_person_and_no_minute_is_like_another(avatar: Avatar) -> None:
    def idle(seed: int) -> np.ndarray:
        live, clock = session(avatar, seed=seed)
        return np.array([np.concatenate([frame.motion.upper, frame.motion.T_camera_world.ravel()])
                         for frame in run(live, clock, 1000)])  # fmt: skip

    one, again, other = idle(1), idle(1), idle(2)
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.1
    assert np.abs(one[:500] - one[500:]).max() > 0.1


def test_lips_head_and_torso_do_not_jump_between_rest_and_speech(avatar: Avatar) -> None:
    live, clock = session(avatar)
    sounds = {20: babble(1.3, seed=1), 80: babble(0.7, seed=2), 110: babble(2.0, seed=3)}

    def act(index: int) -> None:
        if index in sounds:
            live.push(sounds[index], RATE)
            live.flush()
        if index == 130:
            live.clear()

    frames = run(live, clock, 200, act)
    speaking = np.array([frame.speaking for frame in frames])
    steps = np.abs(np.diff([frame.motion.codes for frame in frames], axis=0)).max(axis=1)
    within = speaking[1:] & speaking[:-1]
    # Going over is no quicker than speech itself.
    assert steps[~within].max() < 1.2 * steps[within].max()
    poses = np.array([frame.motion.T_camera_world[:, 3] for frame in frames])
    filmed = np.abs(np.diff(avatar.filmed.T_camera_world[:, :3, 3], axis=0)).max()
    assert np.abs(np.diff(poses, axis=0)).max() < 1.5 * filmed
    assert np.abs(np.diff([frame.motion.place for frame in frames])).max() <= 2


def test_a_listener_nods_where_the_other_sides_phrases_end(avatar: Avatar) -> None:
    def nods(phrases: np.ndarray) -> float:
        live, clock = session(avatar, seed=5)
        frames = run(live, clock, 300, lambda index: live.listen(phrases[index * 640 : (index + 1) * 640], RATE))
        assert not heard(frames).any()
        down = np.array([frame.motion.T_camera_world[2, 1] for frame in frames])
        return float(np.ptp(down))

    talk = np.concatenate([np.concatenate([babble(1.6, seed=k), np.zeros(RATE, np.int16)]) for k in range(5)])
    assert nods(talk) > nods(np.zeros_like(talk)) + 0.02


def test_another_process_makes_the_same_person(avatar: Avatar, toy_avatar: Path) -> None:
    program = (
        "import sys, hashlib, numpy as np, gaussavatar\n"
        "now = [0.0]\n"
        "live = gaussavatar.load_avatar(sys.argv[1]).live(seed=11, clock=lambda: now[0])\n"
        "told = hashlib.sha256()\n"
        "for k in range(200):\n"
        "    now[0] = k / 25\n"
        "    for frame in live.poll():\n"
        "        told.update(frame.packed())\n"
        "print(told.hexdigest())\n"
    )
    told = subprocess.run([sys.executable, "-c", program, str(toy_avatar)], capture_output=True, text=True, check=True)
    live, clock = session(avatar, seed=11)
    here = hashlib.sha256()
    for frame in run(live, clock, 200):
        here.update(frame.packed())
    assert told.stdout.strip() == here.hexdigest()
