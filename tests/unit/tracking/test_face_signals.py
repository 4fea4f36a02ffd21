"""Face signals: named, calibrated per person, clean of the mouth's motion; the face landmarker's scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.errors import UserError
from gaussavatar.head.embedding import render_plain
from gaussavatar.head.model import pose_vertices
from gaussavatar.landmarks.face_mesh import FaceScorer
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS
from gaussavatar.storage import write_arrays
from gaussavatar.tracking.head.fit import fit_head
from gaussavatar.tracking.head.signals import (
    ACTION_UNITS,
    SIGNAL_NAMES,
    FaceSignals,
    face_signals,
    fitted_weights,
    load_face_signals,
    save_face_signals,
    score_faces,
    without_leaks,
)
from gaussavatar.tracking.head.track import HeadTrack

from .head_clips import HeadClip, make_head_clip, plain_head

TASK = Path(__file__).parents[4] / "shared" / "data" / "models" / "face_landmarker.task"


@pytest.fixture(scope="module")
def clip() -> HeadClip:
    return make_head_clip()


@pytest.fixture(scope="module")
def track(clip: HeadClip) -> HeadTrack:
    return fit_head(plain_head(), clip.landmarks, clip.tracking)


@pytest.fixture(scope="module")
def signals(clip: HeadClip, track: HeadTrack) -> FaceSignals:
    return face_signals(track, clip.landmarks, clip.tracking)


def test_channels_that_moved_are_strong_and_the_others_stay_near_zero(clip: HeadClip, signals: FaceSignals) -> None:
    assert signals.names == SIGNAL_NAMES and signals.values.shape == (len(clip.expression), 52 + len(ACTION_UNITS))
    assert signals.source == "fit" and signals.values.min() >= 0 and signals.values.max() <= 1.5
    brow = clip.expression[:, ARKIT_EXPRESSIONS.index("browOuterUpLeft")]
    blink = clip.expression[:, ARKIT_EXPRESSIONS.index("eyeBlinkRight")]
    assert np.corrcoef(signals.channel("AU02_left"), brow)[0, 1] > 0.9
    assert np.corrcoef(signals.channel("AU45_right"), blink)[0, 1] > 0.93
    assert np.percentile(signals.channel("jawOpen"), 97) == pytest.approx(1, abs=0.01)
    assert signals.channel("cheekPuff").mean() < 0.3 and signals.channel("tongueOut").max() == 0


def test_calibration_can_be_undone(track: HeadTrack, signals: FaceSignals) -> None:
    column = SIGNAL_NAMES.index("jawOpen")
    raw = fitted_weights(track)[:, column]
    again = signals.rest[column] + signals.values[:, column] * signals.strong[column]
    above = raw >= signals.rest[column]
    assert np.allclose(again[above], raw[above], atol=1e-5)


def test_what_jumps_with_the_mouth_is_taken_out_and_what_is_held_is_kept() -> None:
    time = np.arange(300) / 25
    mouth = np.stack([np.clip(np.sin(2 * np.pi * 3 * time), 0, None), np.sin(2 * np.pi * 0.5 * time)], 1)
    raised = ((time > 4) & (time < 8)).astype(float)
    cleaned = without_leaks(raised + 0.4 * mouth[:, 0], mouth, np.ones(300, bool))
    assert abs(np.corrcoef(cleaned, mouth[:, 0])[0, 1]) < 0.1
    assert np.corrcoef(cleaned, raised)[0, 1] > 0.98


def test_given_scores_replace_the_fit(clip: HeadClip, track: HeadTrack) -> None:
    scores = np.zeros((len(clip.expression), 52), np.float32)
    # The landmarker's blinks saturate at 0.6 for this person.
    scores[:, ARKIT_EXPRESSIONS.index("eyeBlinkLeft")] = 0.05 + 0.55 * clip.expression[:, 8]
    other = replace(
        track, head=replace(track.head, expression_names=tuple(str(k) for k in range(len(track.expression[0]))))
    )
    signals = face_signals(other, clip.landmarks, clip.tracking, scores)
    assert signals.source == "face_landmarker"
    assert signals.channel("AU45_left").max() == pytest.approx(1, abs=0.02) and signals.channel("AU01").max() < 0.1
    with pytest.raises(ValueError, match="no ARKit"):
        face_signals(other, clip.landmarks, clip.tracking)


@pytest.mark.usefixtures("types_unchecked")
def test_signals_survive_their_file_and_a_damaged_one_is_named(signals: FaceSignals, tmp_path: Path) -> None:
    path = tmp_path / "face_signals.safetensors"
    save_face_signals(path, signals)
    back = load_face_signals(path)
    assert back.names == signals.names and np.array_equal(back.values, signals.values) and back.source == "fit"
    write_arrays(path, {"values": signals.values[:, :3], "rest": signals.rest, "strong": signals.strong},
                 {"names": ",".join(signals.names), "source": "fit"})  # fmt: skip
    with pytest.raises(UserError, match="channels"):
        load_face_signals(path)
    write_arrays(path, {"values": signals.values}, {})
    with pytest.raises(UserError, match="damaged"):
        load_face_signals(path)


def test_a_missing_or_wrong_task_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        FaceScorer(tmp_path / "none.task", ARKIT_EXPRESSIONS).open()
    wrong = tmp_path / "wrong.task"
    wrong.write_bytes(b"not a model" * 100)
    with pytest.raises(UserError, match="face_landmarker.task"):
        FaceScorer(wrong, ARKIT_EXPRESSIONS).open()


@pytest.mark.skipif(not TASK.is_file(), reason=f"the user's model at {TASK} is absent")
def test_the_face_landmarker_scores_what_a_drawn_face_does() -> None:
    head = plain_head()

    def picture(**weights: float) -> np.ndarray:
        row = torch.tensor(head.expression_row(**weights))[None]
        vertices = pose_vertices(head, torch.zeros(1, len(head.identity_names)), row)[0].numpy()
        return render_plain(head, (vertices + [0, -0.03, 0.8]).astype(np.float32))[0]

    rest, opened = picture(), picture(jawOpen=0.5)
    scores, known = score_faces([np.zeros_like(rest), rest, rest, opened, opened], TASK)
    assert known.tolist() == [False, True, True, True, True] and scores.shape == (5, 52)
    # A frame without a face takes its neighbour's scores.
    assert np.array_equal(scores[0], scores[1]) and 0 <= scores.min() <= scores.max() <= 1
    jaw = ARKIT_EXPRESSIONS.index("jawOpen")
    assert scores[4, jaw] > scores[2, jaw] + 0.2
