"""What the toolkit makes of an odd file, against what is right: length, sync, colour, shape, and how a command ends.

``python -m tests.fuzz.judge --n 200`` prints a line for every case, and what is wrong with it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gaussavatar.cli.main import run
from gaussavatar.errors import UserError
from gaussavatar.media.frames import read_frames
from gaussavatar.media.probe import MediaInfo, probe, require_video
from gaussavatar.media.sound_file import hear
from gaussavatar.types import VIDEO_FPS
from tests.fuzz.cases import Case, draw
from tests.fuzz.media import MOMENT, RED, SECONDS, Truth, make

FRAME = 1 / VIDEO_FPS
LEVELS = 3
"""How far a colour may be off."""
PACKET = {"amr_nb": 160, "opus": 960}
"""Samples that a packet of sound holds; 1536 where nothing is said."""
EXACT = ("pcm", "flac", "alac")
HANGS = 300
"""Seconds after which a command hangs."""


class Hanging(Exception):
    """A case took too long."""


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise :class:`Hanging` in whatever takes longer."""

    def stop(*_: object) -> None:
        raise Hanging(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def may_refuse(case: Case) -> bool:
    """Whether a plain refusal is as good as reading the file."""
    return bool(case.damage)


def judge_reading(case: Case, path: Path, truth: Truth) -> list[str]:
    """What is wrong with how the readers of ``track`` and ``speak`` read a file."""
    wrong, late = [], []
    for what, judge, there in (("picture", _picture, case.picture), ("sound", _sound, case.sound)):
        try:
            with limited(HANGS):
                info = probe(path)
                if what == "picture":
                    require_video(info)
                found, moment = judge(case, info, truth)
        except UserError as error:
            if there is not None and not may_refuse(case):
                wrong.append(f"{what} refused: {error}")
        except Exception as error:  # noqa: BLE001 Anything else is a finding, whatever it is.
            wrong.append(f"{what}: {type(error).__name__}: {error}; {traceback.format_exc(limit=-2)}")
        else:
            wrong += [f"{what} read, and there is none"] if there is None else found
            late += [moment] if moment is not None and there is not None else []
    apart = FRAME + 1e-3 + _moved(case)
    if len(late) == 2 and abs(late[0] - late[1]) > apart:
        wrong.append(f"flash {1000 * late[0]:.0f} ms late, beep {1000 * late[1]:.0f}")
    if late and not -FRAME - 1e-3 <= max(late, key=abs) <= FRAME + 1e-3 + unsaid(case):
        wrong.append(f"late by {', '.join(f'{1000 * one:.0f} ms' for one in late)}")
    return wrong


def unsaid(case: Case) -> float:
    """By how much everything in a file may be late: what an encoder of sound put in front, where no file says so."""
    says = case.container not in ("flv", "avi", "ts", "mpg", "aac") and not case.damage
    return 0.0 if says else packet_seconds(case) + _moved(case)


def _moved(case: Case) -> float:
    """By how much a muxer moves pictures: avi knows whole frames only, and that of mpg leaves one out now and then."""
    return float(1 / case.frame_rate) if case.container in ("avi", "mpg") else 0.0


def _picture(case: Case, info: MediaInfo, truth: Truth) -> tuple[list[str], float | None]:
    assert truth.flash is not None and truth.size is not None and truth.corner is not None
    height = max(24, round(96 * truth.size[1] / truth.size[0]))
    frames = list(read_frames(info, width=96, height=height))
    late = _flash_late(frames, truth.flash)
    if case.damage in ("short", "flipped"):
        # What is left of a damaged picture is not judged for its looks.
        return [], late
    wrong = [] if late is not None else ["no flash"]
    if (info.width, info.height) != truth.size:
        wrong.append(f"size {info.width}x{info.height} for {truth.size}")
    allowed = 1.5 * FRAME + float(1 / case.frame_rate) + unsaid(case)
    wrong += _length(len(frames) * FRAME, truth.seconds, allowed, "picture")
    return wrong + _colours(case, frames[len(frames) // 6 + 1].astype(float), truth.corner), late


def _flash_late(frames: list[np.ndarray], flash: float) -> float | None:
    light = np.array([frame[: len(frame) // 2, 40:56].mean() for frame in frames])
    if np.ptp(light) < 15:
        return None
    return float(np.flatnonzero(light > (light.min() + light.max()) / 2)[0]) * FRAME - flash


def _colours(case: Case, frame: np.ndarray, corner: tuple[int, int]) -> list[str]:
    wrong = []
    height, width = frame.shape[:2]
    spots = {
        (row, column): frame[
            row * (height - 14) + 4 : row * (height - 14) + 10, column * (width - 14) + 4 : column * (width - 14) + 10
        ].mean((0, 1))
        for row in (0, 1)
        for column in (0, 1)
    }
    reddest = max(spots, key=lambda spot: spots[spot][0] - spots[spot][1:].mean())
    if reddest != corner:
        wrong.append(f"red in quarter {reddest}, not {corner}")
    for spot, colour in spots.items():
        meant = np.array(RED if spot == corner else case.colour, float)
        off = float(np.abs(colour - meant).max())
        if case.tags in ("hlg", "pq"):
            # What light becomes on a screen is a matter of taste; grey stays grey.
            off = float(np.ptp(colour)) if spot != corner else 0.0
        if off > LEVELS:
            wrong.append(f"colour {colour.round().astype(int)} for {meant.astype(int)} at {spot}")
            break
    return wrong


def _length(came: float, meant: float, allowed: float, what: str) -> list[str]:
    return [f"{what} of {came:.2f} s, not {meant:.2f}"] if abs(came - meant) > allowed else []


def beep_of(samples: np.ndarray, rate: int) -> float | None:
    """When the beep begins, seconds."""
    window = rate // 200
    envelope = np.convolve(np.abs(samples), np.ones(window) / window, "same")
    if envelope.max() < 0.02:
        return None
    return float(np.flatnonzero(envelope > envelope.max() / 2)[0]) / rate


def packet_seconds(case: Case) -> float:
    """Length of a packet of a case's sound, which lossy codecs round to."""
    if case.sound is None or case.sound.startswith(EXACT):
        return 0.005
    return PACKET.get(case.sound, 1536) / case.sampling


def _sound(case: Case, info: MediaInfo, truth: Truth) -> tuple[list[str], float | None]:
    heard = hear(info.path).waveform
    came = beep_of(heard.samples, heard.rate)
    if case.damage or truth.beep is None:
        return [], None
    meant = SECONDS + truth.beep - MOMENT
    wrong = _length(heard.seconds, meant, FRAME + 2 * packet_seconds(case), "sound")
    return (wrong, came - truth.beep) if came is not None else ([*wrong, "no beep"], None)


def command(words: list[str]) -> tuple[int, list[str], str]:
    """Exit code of a command of ``gaussavatar``, its lines ``error: ...``, and all that it said."""
    said = io.StringIO()
    with limited(HANGS), contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            code = run(words)
        except Exception:  # noqa: BLE001 Whatever it is, a user would see it as a traceback.
            return 1, [], traceback.format_exc(limit=-3)
    lines = said.getvalue().replace("\r", "\n").splitlines()
    return code, [line for line in lines if line.startswith("error: ")], said.getvalue()


def _ended(verb: str, code: int, errors: list[str], said: str) -> list[str]:
    """What is wrong with how a command ended."""
    if code not in (0, 2) or "Traceback" in said:
        return [f"{verb} ended with {code}: {said[-600:]}"]
    if len(errors) != (code == 2):
        return [f"{verb} ended with {code} and {len(errors)} lines of error"]
    return []


def judge_track(case: Case, path: Path, folder: Path) -> tuple[list[str], str]:
    """What is wrong with how ``track`` refuses a file in which there is nobody, and what it says."""
    words = ["track", str(path), "--out", str(folder / "t"), "--set", "capture.min_seconds=1"]
    code, errors, said = command(words)
    wrong = _ended("track", code, errors, said)
    if code == 0:
        wrong.append("track found a person in coloured squares")
    if errors and not case.damage and case.picture is not None and "face" not in errors[0]:
        wrong.append(f"track: {errors[0]}")
    return wrong, errors[0] if errors else ""


def judge_speak(case: Case, path: Path, folder: Path, avatar: Path) -> tuple[list[str], str]:
    """What is wrong with the video that ``speak`` makes of a file's sound, and what it says instead of one."""
    out = folder / "said.mp4"
    code, errors, said = command(["speak", "--avatar", str(avatar), "--audio", str(path), "--out", str(out)])
    wrong = _ended("speak", code, errors, said)
    if code == 2 and case.sound is not None and not may_refuse(case):
        wrong.append(f"speak: {errors[:1]}")
    if code != 0 or wrong:
        return wrong, errors[0] if errors else ""
    given, made = hear(path).waveform, hear(out).waveform
    wrong += _length(probe(out).seconds, given.seconds, FRAME + 1e-3, "video")
    before, after = beep_of(given.samples, given.rate), beep_of(made.samples, made.rate)
    if (before is None) != (after is None) or (before is not None and abs(before - after) > FRAME / 2):  # type: ignore[operator]
        wrong.append(f"the beep at {before} is at {after} in the video")
    return wrong, ""


def judge(case: Case, folder: Path, avatar: Path | None, verbs: tuple[str, ...] = ("track", "speak")) -> list[str]:
    """Everything that is wrong with what the toolkit makes of a case; ``folder`` is empty."""
    path, truth = make(case, folder)
    wrong = judge_reading(case, path, truth)
    if "track" in verbs:
        wrong += judge_track(case, path, folder)[0]
    if "speak" in verbs and avatar is not None:
        wrong += judge_speak(case, path, folder, avatar)[0]
    return wrong


def main() -> int:
    """Judge many cases; the exit code says whether something is wrong with any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--avatar", type=Path, help="for speak; without one it is left out")
    parser.add_argument("--verbs", nargs="*", default=["track", "speak"])
    options = parser.parse_args()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    failed = 0
    for number in range(options.first, options.first + options.n):
        case, start = draw(number, options.seed), time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            wrong = judge(case, Path(folder), options.avatar, tuple(options.verbs))
        failed += bool(wrong)
        print(f"{'WRONG' if wrong else 'right'} {case} ({time.monotonic() - start:.1f} s)", flush=True)
        for one in wrong:
            print(f"      {one}", flush=True)
    print(f"{options.n - failed} of {options.n} right")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
