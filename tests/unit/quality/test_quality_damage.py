"""Every kind of damage is measured, grows with the damage, and leads to words that say what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from gaussavatar.capture.marks import Marks, save_marks
from gaussavatar.quality.pictures import measure_pictures
from gaussavatar.quality.records import Quality
from gaussavatar.quality.stage import has_person, judge_tracked, load_tracked

from .conftest import SIDE, Person, voice


def judged(folder: Path) -> Quality:
    """The verdict without overlay and page."""
    tracked = load_tracked(folder, SIDE)
    pictures = measure_pictures(tracked.capture.frames(), tracked.landmarks, has_person(tracked), lambda steps: None)
    return judge_tracked(tracked, pictures)


def subjects(quality: Quality, severity: str | None = None) -> set[str]:
    return {finding.subject for finding in quality.findings if severity in (None, finding.severity)}


def advice(quality: Quality, subject: str) -> str:
    return " ".join(finding.advice for finding in quality.findings if finding.subject == subject)


@pytest.fixture(scope="module")
def sound(person: Person) -> np.ndarray:
    return voice(person.clip.mouth + 0.02)


@pytest.fixture(scope="module")
def whole(person: Person, sound: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Quality:
    folder = tmp_path_factory.mktemp("whole")
    person.write(folder, sound=sound)
    return judged(folder)


def test_nothing_is_wrong_with_the_undamaged_clip(whole: Quality) -> None:
    assert whole.verdict == "good", whole.summary
    assert whole.figures["dropped_share"] == 0 and whole.figures["repeated_share"] == 0
    assert abs(whole.figures["av_offset_ms"]) < 40 and whole.figures["av_offset_trusted"] == 1


def test_blur_grows_and_is_said(person: Person, whole: Quality, tmp_path: Path) -> None:
    blurs = [whole.figures["blur"]]
    for sigma in (1.0, 2.0, 4.0):
        person.write(tmp_path / str(sigma), lambda image, _, s=sigma: cv2.GaussianBlur(image, (0, 0), s))
        worse = judged(tmp_path / str(sigma))
        blurs.append(worse.figures["blur"])
    assert np.all(np.diff(blurs) > 0.01), blurs
    assert worse.verdict != "good" and "focus" in advice(worse, "sharpness")


def test_motion_blur_is_told_from_softness(person: Person, whole: Quality, tmp_path: Path) -> None:
    def smear(image: np.ndarray, index: int) -> np.ndarray:
        return cv2.blur(image, (9, 1)) if index % 50 < 6 else image

    person.write(tmp_path, smear)
    quality = judged(tmp_path)
    assert whole.figures["smeared_share"] < 0.02
    assert quality.figures["smeared_share"] == pytest.approx(0.12, abs=0.03)
    assert "motion blur" in subjects(quality, "warning") and "sharpness" not in subjects(quality)


def test_pumping_brightness_is_measured_in_stops(person: Person, whole: Quality, tmp_path: Path) -> None:
    def pump(image: np.ndarray, index: int) -> np.ndarray:
        # Half a stop up and down, of light: 2 ** (0.5 / 2.2) of the grey values.
        return np.clip(image * 2 ** (0.5 / 2.2 * np.sin(index / 20)), 0, 255).astype(np.uint8)

    person.write(tmp_path, pump)
    quality = judged(tmp_path)
    assert whole.figures["light_range"] < 0.2
    assert quality.figures["light_range"] == pytest.approx(1.0, abs=0.2)
    assert "exposure" in subjects(quality, "warning") and "Lock the exposure" in advice(quality, "exposure")


def test_dark_blown_and_crushed_faces_are_said(person: Person, tmp_path: Path) -> None:
    figures = {}
    for name, gain in (("dark", 0.1), ("bright", 2.5)):
        person.write(tmp_path / name, lambda image, _, g=gain: np.clip(image * g, 0, 255).astype(np.uint8))
        figures[name] = judged(tmp_path / name)
    assert figures["dark"].figures["luma"] < 25 and figures["dark"].verdict == "not usable"
    assert figures["bright"].figures["blown_share"] > 0.5 and "light" in subjects(figures["bright"], "warning")


def test_frozen_frames_are_counted(person: Person, tmp_path: Path) -> None:
    held: dict[int, np.ndarray] = {}

    def freeze(image: np.ndarray, index: int) -> np.ndarray:
        # Of every ten frames the last three repeat the seventh.
        if index % 10 < 7:
            held[0] = image
        return held[0]

    person.write(tmp_path, freeze)
    quality = judged(tmp_path)
    assert quality.figures["repeated_share"] == pytest.approx(0.3, abs=0.01)
    assert "repeated frames" in subjects(quality, "warning")


@pytest.mark.parametrize("milliseconds", [-200, 200])
def test_shifted_sound_is_measured_and_the_option_named(
    person: Person, sound: np.ndarray, tmp_path: Path, milliseconds: int
) -> None:
    person.write(tmp_path, sound=np.roll(sound, milliseconds * 16))
    quality = judged(tmp_path)
    assert quality.figures["av_offset_ms"] == pytest.approx(milliseconds, abs=45)
    assert quality.verdict == "usable" and ("later" if milliseconds > 0 else "earlier") in quality.summary
    assert f"--av-offset {quality.figures['av_offset_ms']:.0f}" in advice(quality, "sound")


def test_silence_and_foreign_sound_give_no_offset(person: Person, tmp_path: Path) -> None:
    person.write(tmp_path / "none")
    assert judged(tmp_path / "none").figures["av_offset_ms"] is None
    noise = np.random.default_rng(3).standard_normal(32 * 16000).astype(np.float32) * 0.1
    for name, wrong in (("noise", noise), ("silence", np.zeros_like(noise))):
        person.write(tmp_path / name, sound=wrong)
        quality = judged(tmp_path / name)
        assert not quality.figures["av_offset_trusted"]
        assert "--av-offset" not in " ".join(finding.advice for finding in quality.findings)


def test_a_narrow_pose_range_is_only_a_note(person: Person, whole: Quality, tmp_path: Path) -> None:
    still = replace(
        person.tracking, R_camera_head=np.repeat(person.tracking.R_camera_head[:1], len(person.tracking.rms), 0)
    )
    person.write(tmp_path, tracking=still)
    quality = judged(tmp_path)
    assert quality.figures["yaw_high"] - quality.figures["yaw_low"] < 0.1
    assert whole.figures["yaw_high"] - whole.figures["yaw_low"] > 12
    assert "head turns" in subjects(quality, "note") and quality.verdict == "good"


def test_lost_faces_are_listed_with_their_time(person: Person, tmp_path: Path) -> None:
    valid = np.ones(800, bool)
    valid[100:103] = False
    valid[300:500] = False
    used = valid.copy()
    used[100:103] = True
    used[600:625] = False
    person.write(
        tmp_path, landmarks=replace(person.landmarks, valid=valid), tracking=replace(person.tracking, valid=used)
    )
    quality = judged(tmp_path)
    assert [(part.start, part.end, part.reason) for part in quality.dropped] == [
        (12.0, 20.0, "no face found"),
        (24.0, 25.0, "face not understood"),
    ]
    assert quality.figures["bridged_frames"] == 3 and quality.figures["longest_gap_seconds"] == 8.0
    assert quality.figures["dropped_share"] == pytest.approx(225 / 800, abs=1e-4)
    assert "lost frames" in subjects(quality, "warning")


def test_marked_frames_are_left_out_of_every_figure(person: Person, whole: Quality, tmp_path: Path) -> None:
    def flash(image: np.ndarray, index: int) -> np.ndarray:
        return np.full_like(image, 250) if 200 <= index < 240 else image

    hands, strangers = np.zeros(800, bool), np.zeros(800, bool)
    hands[200:230], strangers[225:240] = True, True
    capture = person.write(tmp_path, flash)
    save_marks(capture.folder, Marks(hands, strangers, np.zeros_like(hands)))
    quality = judged(tmp_path)
    assert [(part.start, part.end, part.reason) for part in quality.dropped] == [
        (8.0, 9.2, "a hand is before the face"),
        (9.2, 9.6, "another person"),
    ]
    assert quality.figures["light_range"] == pytest.approx(whole.figures["light_range"], abs=0.05)
    assert {"hands", "second person"} <= subjects(quality, "warning")


def test_a_clip_that_is_mostly_lost_is_not_usable(person: Person, tmp_path: Path) -> None:
    valid = np.arange(800) < 300
    lost = replace(person.tracking, valid=valid)
    person.write(tmp_path, landmarks=replace(person.landmarks, valid=valid), tracking=lost)
    quality = judged(tmp_path)
    assert quality.verdict == "not usable" and "cannot be used" in quality.summary


def test_a_moving_camera_is_seen_in_the_background(person: Person, whole: Quality, tmp_path: Path) -> None:
    def pan(image: np.ndarray, index: int) -> np.ndarray:
        return np.roll(image, round(4 * np.sin(index / 60)), axis=1)

    person.write(tmp_path, pan)
    quality = judged(tmp_path)
    assert whole.figures["camera_px"] < 1
    # Four pixels of 192 are 10.7 of 512; the corner that moved less is believed.
    assert quality.figures["camera_px"] == pytest.approx(9, abs=3)
    assert "camera" in subjects(quality, "warning") and "stand" in advice(quality, "camera")


def test_a_shaking_track_is_measured(person: Person, whole: Quality, tmp_path: Path) -> None:
    shaken = person.tracking.R_camera_head.copy()
    angle = np.deg2rad(0.7) * np.random.default_rng(0).standard_normal(len(shaken))
    turn = np.zeros_like(shaken)
    turn[:, 0, 0], turn[:, 2, 2], turn[:, 1, 1] = np.cos(angle), np.cos(angle), 1
    turn[:, 0, 2], turn[:, 2, 0] = np.sin(angle), -np.sin(angle)
    person.write(tmp_path, tracking=replace(person.tracking, R_camera_head=turn @ shaken))
    quality = judged(tmp_path)
    assert whole.figures["shake_deg"] < 0.1
    # Half of white noise of 0.7 degrees lies above 6 of 12.5 Hz.
    assert quality.figures["shake_deg"] == pytest.approx(0.5, abs=0.1)


def test_blinks_and_mouth_are_counted(whole: Quality, person: Person, tmp_path: Path) -> None:
    # The made-up clip blinks every 45 frames, 18 times in 32 s.
    assert whole.figures["blinks_per_minute"] == pytest.approx(33, abs=2)
    mute = replace(person.clip, points=np.repeat(person.clip.points[:1], 800, 0))
    person.write(tmp_path, landmarks=mute.landmarks(noise_px=0.05, size=SIDE))
    quality = judged(tmp_path)
    assert quality.figures["mouth_range"] < 0.06 < whole.figures["mouth_range"]
    assert "mouth" in subjects(quality, "warning")


def test_progress_is_told_every_frame(person: Person, tmp_path: Path) -> None:
    capture = person.write(tmp_path)
    steps: list[int] = []
    measure_pictures(capture.frames(), person.landmarks, person.landmarks.valid, steps.append)
    assert sum(steps) == 800
