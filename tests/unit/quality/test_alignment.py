"""The sound that is moved into step: how far is found, when it is believed, and who hears what comes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gaussavatar.audio.features.mel_bands import log_mel
from gaussavatar.audio.offset import AvOffset, estimate_av_offset
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.capture.store import load_capture
from gaussavatar.errors import UserError
from gaussavatar.media.sound_file import read_audio
from gaussavatar.quality.alignment import SoundRecord, align_sound, load_sound_record
from gaussavatar.quality.verdict import judge
from gaussavatar.tracking.face.motion import load_motion

from .conftest import Person, voice
from .test_quality_damage import judged
from .test_quality_page import GOOD


def shifted(person: Person, folder: Path, milliseconds: int) -> SoundRecord:
    """A capture whose sound comes so much later, and what is made of it."""
    sound = np.roll(voice(person.clip.mouth + 0.02), milliseconds * 16)
    return placed(person, folder, sound)


def placed(person: Person, folder: Path, sound: np.ndarray, **asked: bool) -> SoundRecord:
    capture = person.write(folder, sound=sound)
    return align_sound(capture, load_motion(capture.layout.motion), person.tracking, **asked)


@pytest.mark.parametrize("milliseconds", [-160, -120, -80, 90, 120, 160, 0, -30, 40])
def test_a_known_shift_is_found_within_half_a_frame_and_undone(
    person: Person, tmp_path: Path, milliseconds: int
) -> None:
    own = 20 - 25  # The drawn voice follows its lips by 20 ms, of which 25 are natural.
    record = shifted(person, tmp_path, milliseconds)
    assert record.found is not None and record.found.sure
    assert record.found.milliseconds == pytest.approx(milliseconds + own, abs=20)
    if abs(milliseconds) < 45:
        assert record.moved_ms == 0 and not CaptureLayout(tmp_path).aligned.exists()
    else:
        assert record.moved_ms == record.found.milliseconds
    capture = load_capture(tmp_path)
    assert capture.audio is not None
    heard = read_audio(capture.audio)
    assert len(heard.samples) == capture.n_frames * 640
    left = estimate_av_offset(log_mel(heard), load_motion(capture.layout.motion).aperture)
    assert left is not None
    assert left.milliseconds == pytest.approx(own if record.moved_ms else milliseconds + own, abs=20)
    assert load_sound_record(tmp_path) == record


@pytest.mark.parametrize(
    ("found", "moved"),
    [
        (AvOffset(-91, 7, 0.8), -91),
        (AvOffset(-57, 16, 0.52), -57),  # A portrait of 20 s.
        (AvOffset(4, 4, 0.74), 0),  # A news reader.
        (AvOffset(-8.7, 5, 0.93), 0),  # The anchor.
        (AvOffset(-104, 15, 0.40), 0),
        (AvOffset(-64, 15, 0.47), 0),
        (AvOffset(30, 288, 0.33), 0),
        (AvOffset(-200, 25, 0.9), 0),
        (AvOffset(70, 5, 0.9), 0),  # Lips may lead so far by nature.
        (AvOffset(80, 5, 0.9), 80),
        (AvOffset(-44, 5, 0.9), 0),
    ],
)
def test_only_what_is_sure_and_beyond_nature_is_moved(found: AvOffset, moved: float) -> None:
    assert found.correction_ms == moved
    summary = SoundRecord(found, found.correction_ms).summary
    assert ("moved into step" in summary) == bool(moved)


def test_the_users_word_stands(person: Person, tmp_path: Path) -> None:
    late = np.roll(voice(person.clip.mouth + 0.02), 120 * 16)
    record = placed(person, tmp_path, late, asked=True)
    assert record.found is not None and record.found.milliseconds > 90
    assert record.moved_ms == 0 and not CaptureLayout(tmp_path).aligned.exists()
    assert record.summary.startswith("with --av-offset it comes 1")


def test_a_second_look_forgets_the_first(person: Person, tmp_path: Path) -> None:
    assert shifted(person, tmp_path, -120).moved_ms
    assert CaptureLayout(tmp_path).audio == CaptureLayout(tmp_path).aligned
    assert not shifted(person, tmp_path, 0).moved_ms
    assert CaptureLayout(tmp_path).audio == CaptureLayout(tmp_path).recorded
    capture = person.write(tmp_path / "mute")
    assert align_sound(capture, load_motion(capture.layout.motion), person.tracking) == SoundRecord(None)
    assert "cannot be told" in load_sound_record(tmp_path / "mute").summary


def test_the_quality_record_and_page_say_what_was_done(person: Person, tmp_path: Path) -> None:
    record = shifted(person, tmp_path, -120)
    quality = judged(tmp_path)
    assert quality.verdict == "good"
    assert quality.figures["av_offset_moved_ms"] == pytest.approx(record.moved_ms, abs=0.001)
    assert quality.figures["av_offset_corrected_ms"] == pytest.approx(record.moved_ms, abs=0.001)
    assert abs(quality.figures["av_offset_ms"] or 99) < 30
    notes = [finding for finding in quality.findings if finding.subject == "sound"]
    assert [finding.severity for finding in notes] == ["note"]
    assert "ms earlier than the lips and was moved into step" in notes[0].found and "--av-offset 0" in notes[0].advice
    _, findings = judge(GOOD | {"av_offset_ms": -90.0, "av_offset_moved_ms": 0.0})
    assert findings[0].advice == "Run again with --av-offset -90 to move it back."


def test_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    assert load_sound_record(tmp_path) == SoundRecord(None)
    (tmp_path / "sound.json").write_text('{"found": 3}')
    with pytest.raises(UserError, match="a record of the sound in .*; run fit again"):
        load_sound_record(tmp_path)
