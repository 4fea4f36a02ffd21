"""Faces in odd files: ``python -m tests.fuzz.faces CLIP --n 24`` lets the real ``track`` see a clip in each of them.

The pictures of :mod:`tests.fuzz.cases` are drawn from the clip instead; what comes is compared with what the readers'
truth says of length, and with the lips of the same stretch in a file that is as usual.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.capture.store import load_capture
from gaussavatar.landmarks.detect import load_landmarks
from gaussavatar.landmarks.measures import lip_aperture
from gaussavatar.media.frames import read_frames
from gaussavatar.media.probe import probe
from gaussavatar.statistics import correlation
from gaussavatar.types import VIDEO_FPS
from tests.fuzz.cases import Case, draw
from tests.fuzz.judge import FRAME, command, may_refuse
from tests.fuzz.media import SECONDS, make

LEAST_SIDE = 360
ALIKE = 0.85
"""Correlation of the lips' opening with that of the usual file, from which on it is the same stretch in step."""


def filmed(case: Case, clip: Path, start: float) -> bytes:
    """Frames of the clip from ``start`` on as RGB, of the case's rate and shape: its middle, cut to that aspect."""
    info = probe(clip)
    wide, high = case.size[0] * float(Fraction(case.aspect)), case.size[1]
    scale = min(info.width / wide, info.height / high)
    half = np.array([wide, high]) * scale / 2
    left, top = (np.array([info.width, info.height]) / 2 - half).round().astype(int)
    right, bottom = (np.array([left, top]) + (2 * half).round()).astype(int)
    made = []
    for frame in read_frames(
        info, width=info.width, height=info.height, fps=float(case.frame_rate), start=start, seconds=SECONDS + 0.2
    ):
        part = frame[top:bottom, left:right]
        made.append(cv2.resize(part, case.size, interpolation=cv2.INTER_AREA).tobytes())
    return b"".join(made[: int(np.ceil(SECONDS * case.frame_rate))])


def as_large(case: Case) -> Case:
    """The case with a picture in which a face can be seen; odd sides stay odd."""
    times = -(-LEAST_SIDE // min(case.size))
    times += 1 - times % 2
    return replace(case, size=(times * case.size[0], times * case.size[1]))


def opening(folder: Path) -> np.ndarray:
    """The lips' opening that a track saw, frame by frame."""
    return lip_aperture(load_landmarks(CaptureLayout(folder).landmarks).points)


def judge_face(case: Case, clip: Path, start: float, usual: np.ndarray, folder: Path) -> list[str]:
    """What is wrong with what ``track`` makes of a case."""
    path, truth = make(case, folder, filmed(case, clip, start))
    out = folder / "t"
    words = ["track", str(path), "--out", str(out), "--set", "capture.min_seconds=1"]
    code, errors, said = command(words)
    if code not in (0, 2) or "Traceback" in said or len(errors) != (code == 2):
        return [f"track ended with {code}: {said[-600:]}"]
    if code == 2:
        return [] if may_refuse(case) else [f"refused: {errors[0]}"]
    capture = next(out.rglob("landmarks.safetensors")).parent
    n_frames = load_capture(capture).n_frames
    if case.damage:
        return []
    wrong = []
    allowed = 2 + 2 / float(case.frame_rate) / FRAME + (12.5 if case.late == "picture" else 0)
    if abs(n_frames - truth.seconds * VIDEO_FPS) > allowed:
        wrong.append(f"{n_frames} frames of {truth.seconds:.2f} s")
    seen = opening(capture)
    shift = round(((truth.flash or 0) - 1.2) * VIDEO_FPS)
    best = max(_alike(seen, usual, shift + step) for step in (-1, 0, 1))
    if best < ALIKE:
        wrong.append(f"lips of another moment: r {best:.2f}")
    return wrong


def _alike(seen: np.ndarray, usual: np.ndarray, shift: int) -> float:
    """Correlation of two openings where they overlap, the first one ``shift`` frames later."""
    first, second = seen[max(shift, 0) :], usual[max(-shift, 0) :]
    n = min(len(first), len(second))
    return correlation(first[:n], second[:n])


def main() -> int:
    """Judge many cases; the exit code says whether something is wrong with any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--start", type=float, default=1.0)
    parser.add_argument("--n", type=int, default=24)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plain = Case(0, "mp4", "h264", "aac", size=(480, 360))
        path, _ = make(plain, Path(folder), filmed(plain, asked.clip, asked.start))
        code, _, said = command(["track", str(path), "--out", f"{folder}/t", "--set", "capture.min_seconds=1"])
        assert code == 0, said
        usual = opening(next(Path(folder, "t").rglob("landmarks.safetensors")).parent)
    number, done, failed = asked.first, 0, 0
    while done < asked.n:
        case, number, began = as_large(draw(number, asked.seed)), number + 1, time.monotonic()
        if case.picture is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            wrong = judge_face(case, asked.clip, asked.start, usual, Path(folder))
        done, failed = done + 1, failed + bool(wrong)
        print(f"{'WRONG' if wrong else 'right'} {case} ({time.monotonic() - began:.1f} s)", flush=True)
        for one in wrong:
            print(f"      {one}", flush=True)
    print(f"{done - failed} of {done} right")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
