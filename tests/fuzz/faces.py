"""Faces in odd files: ``python -m tests.fuzz.faces CLIP --n 12`` lets the real ``track`` see a clip in each of them.

The pictures of :mod:`tests.fuzz.cases` are drawn from the clip instead. What comes is compared with what the readers'
truth says of length, and the lips with those of the very frames that went into the file, at their moments.
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
from gaussavatar.capture.store import Capture, load_capture
from gaussavatar.landmarks.detect import detect_landmarks, load_landmarks
from gaussavatar.landmarks.measures import lip_aperture
from gaussavatar.media.frames import read_frames
from gaussavatar.media.probe import probe
from gaussavatar.statistics import correlation
from gaussavatar.types import VIDEO_FPS
from tests.fuzz.cases import Case, draw
from tests.fuzz.judge import FRAME, command, may_refuse, unsaid
from tests.fuzz.media import LATE, SECONDS, Truth, kept_frames, make, truth_of

LEAST_SIDE = 360
ALIKE = 0.8
"""Correlation of the lips' opening with that of the frames that were put in, from which on they are in step: half a
frame off, as the sound in a flv may put its picture, it is .84, a frame off .5 to .76."""


def as_large(case: Case) -> Case:
    """The case with a picture in which a face can be seen; odd sides stay odd."""
    times = -(-LEAST_SIDE // min(case.size))
    times += 1 - times % 2
    return replace(case, size=(times * case.size[0], times * case.size[1]))


def filmed(case: Case, clip: Path, start: float) -> list[np.ndarray]:
    """Frames of a clip from ``start`` on at a case's rate, as they should be shown: the middle, cut to the shape."""
    info, shown = probe(clip), truth_of(case).size
    assert shown is not None
    half = np.array(shown) * min(info.width / shown[0], info.height / shown[1]) / 2
    left, top = (np.array([info.width, info.height]) / 2 - half).round().astype(int)
    right, bottom = np.array([left, top]) + (2 * half).round().astype(int)
    wanted = {"fps": float(case.frame_rate), "start": start, "seconds": SECONDS + 0.2}
    frames = read_frames(info, width=info.width, height=info.height, **wanted)
    made = [cv2.resize(frame[top:bottom, left:right], shown, interpolation=cv2.INTER_AREA) for frame in frames]
    return made[: int(np.ceil(SECONDS * case.frame_rate))]


def stored(case: Case, shown: np.ndarray) -> np.ndarray:
    """A frame as it stands in the file, before what the file says of turns and pixels is done to it."""
    upright = np.rot90(shown, case.turn // 90)
    upright = {"hflip": upright[:, ::-1], "vflip": upright[::-1]}.get(case.flip, upright)
    return cv2.resize(np.ascontiguousarray(upright), case.size, interpolation=cv2.INTER_AREA)


def meant_opening(case: Case, shown: list[np.ndarray], capture: Capture) -> np.ndarray:
    """The lips' opening in what each frame of a capture should show; NaN where the case has no picture."""
    before = (LATE if case.late == "picture" else 0.0) - (LATE if case.cut else 0.0)
    kept = np.array(kept_frames(case))
    moments = np.arange(capture.n_frames) * FRAME - before
    places = np.searchsorted(kept, moments * float(case.frame_rate) + 1e-6, side="right") - 1
    there = (places >= 0) & (moments < SECONDS)
    x, y, side = capture.crop
    images = []
    for place in places[there]:
        border = cv2.copyMakeBorder(shown[kept[place]], side, side, side, side, cv2.BORDER_REPLICATE)
        part = border[y + side : y + 2 * side, x + side : x + 2 * side]
        images.append(cv2.resize(part, (capture.size, capture.size), interpolation=cv2.INTER_AREA))
    opening = np.full(capture.n_frames, np.nan)
    opening[there] = lip_aperture(detect_landmarks(images, capture.size).points)
    return opening


def judge_face(case: Case, clip: Path, start: float, folder: Path) -> list[str]:
    """What is wrong with what ``track`` makes of a case."""
    shown = filmed(case, clip, start)
    path, truth = make(case, folder, b"".join(stored(case, frame).tobytes() for frame in shown))
    out = folder / "t"
    code, errors, said = command(["track", str(path), "--out", str(out), "--set", "capture.min_seconds=1"])
    if code not in (0, 2) or "Traceback" in said or len(errors) != (code == 2):
        return [f"track ended with {code}: {said[-600:]}"]
    if code == 2:
        return [] if may_refuse(case) else [f"refused: {errors[0]}"]
    capture = next(out.rglob("landmarks.safetensors")).parent
    return [] if case.damage else _differences(case, truth, shown, capture)


def _differences(case: Case, truth: Truth, shown: list[np.ndarray], folder: Path) -> list[str]:
    capture = load_capture(folder)
    allowed = 2 + 2 / float(case.frame_rate) / FRAME + (LATE / FRAME if case.late == "picture" else 0)
    wrong = []
    if abs(capture.n_frames - truth.seconds * VIDEO_FPS) > allowed:
        wrong.append(f"{capture.n_frames} frames of {truth.seconds:.2f} s")
    meant = meant_opening(case, shown, capture)
    seen = lip_aperture(load_landmarks(CaptureLayout(folder).landmarks).points)
    alike = {shift: _alike(seen, meant, shift) for shift in range(-10, 11)}
    best = max(alike, key=lambda shift: alike[shift])
    # Slow rates show every picture for several frames.
    apart = 1 + float(Fraction(VIDEO_FPS) / case.frame_rate) / 2
    if alike[best] < ALIKE or not -apart <= best <= apart + unsaid(case) / FRAME:
        wrong.append(f"lips {best} frames late, r {alike[best]:.2f}; r {alike[0]:.2f} in step")
    return wrong


def _alike(seen: np.ndarray, meant: np.ndarray, shift: int) -> float:
    """Correlation of two openings where they overlap, the first one ``shift`` frames later."""
    first, second = seen[max(shift, 0) :], meant[max(-shift, 0) :]
    n = min(len(first), len(second))
    there = np.isfinite(second[:n])
    return float(correlation(first[:n][there], second[:n][there]))


def main() -> int:
    """Judge many cases; the exit code says whether something is wrong with any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--start", type=float, default=1.0, help="second of the clip from which on it is taken")
    parser.add_argument("--n", type=int, default=12)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    number, done, failed = asked.first, 0, 0
    while done < asked.n:
        case, number, began = as_large(draw(number, asked.seed)), number + 1, time.monotonic()
        if case.picture is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            wrong = judge_face(case, asked.clip, asked.start, Path(folder))
        done, failed = done + 1, failed + bool(wrong)
        print(f"{'WRONG' if wrong else 'right'} {case} ({time.monotonic() - began:.1f} s)", flush=True)
        for one in wrong:
            print(f"      {one}", flush=True)
    print(f"{done - failed} of {done} right")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
