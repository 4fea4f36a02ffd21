"""The sound brought in step with the lips, where the recording itself says surely that it is not.

What learns from a clip whose sound lies beside its picture takes that over, and is late or early under every voice. A
recording that is found to be so gets a second sound file, ``aligned.wav``, which everything after it hears; the record
``sound.json`` says what was found and done.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from gaussavatar.audio.features.mel_bands import log_mel
from gaussavatar.audio.offset import AvOffset, estimate_av_offset
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.capture.store import Capture
from gaussavatar.capture.video import shift_sound, write_sound
from gaussavatar.errors import UserError
from gaussavatar.media.sound_file import read_audio
from gaussavatar.storage import read_json, write_json
from gaussavatar.types import FaceMotion, Tracking, Waveform


@dataclass(frozen=True)
class SoundRecord:
    """What was found and done about a capture's sound; plain data, ``sound.json``.

    Attributes:
        found: how far the captured sound lies from the lips; None where that cannot be told.
        moved_ms: by how much it was moved earlier because of that (later where negative).
        asked: whether the user had given an offset, which is then the last word.
    """

    found: AvOffset | None
    moved_ms: float = 0.0
    asked: bool = False

    @property
    def summary(self) -> str:
        """The same in a line."""
        if self.found is None:
            return "whether sound and lips are in step cannot be told on this clip"
        side = "later" if self.found.milliseconds > 0 else "earlier"
        found = f"{abs(self.found.milliseconds):.0f} ms {side} than the lips (± {self.found.spread_ms:.0f})"
        if self.moved_ms:
            return f"it came {found} and was moved into step; --av-offset 0 leaves it as it was"
        if self.asked:
            return f"with --av-offset it comes {found}"
        if not self.found.trusted:
            return "whether sound and lips are in step is not clear on this clip; nothing was moved"
        return f"it comes {found}, which is left as it is"


def align_sound(capture: Capture, motion: FaceMotion, tracking: Tracking, *, asked: bool = False) -> SoundRecord:
    """Measure how far a capture's sound lies from the lips and move it where that is sure; writes the record.

    Args:
        capture: the clip with its sound as captured.
        motion: of its face.
        tracking: its valid frames are believed.
        asked: the user has said how to move the sound, and it was captured so: only measure.

    Raises:
        UserError: the folder cannot be written.
    """
    layout = capture.layout
    layout.aligned.unlink(missing_ok=True)
    sound = captured_sound(capture)
    found = None if sound is None else estimate_av_offset(log_mel(sound), motion.aperture, tracking.valid)
    moved = 0.0 if found is None or asked else found.correction_ms
    if sound is not None and moved:
        write_sound(layout.aligned, shift_sound(sound.samples, moved), capture.n_frames)
    record = SoundRecord(found, moved, asked)
    write_json(layout.sound, msgspec.to_builtins(record))
    return record


def captured_sound(capture: Capture) -> Waveform | None:
    """The sound as it was captured, or None without one."""
    if capture.audio is None:
        return None
    try:
        return read_audio(capture.layout.recorded)
    except UserError:
        return None


def load_sound_record(folder: Path) -> SoundRecord:
    """Read the record that :func:`align_sound` left; that of a sound nobody looked at where there is none.

    Raises:
        UserError: the file is damaged.
    """
    path = CaptureLayout(folder).sound
    if not path.exists():
        return SoundRecord(None)
    try:
        return msgspec.convert(read_json(path), SoundRecord)
    except msgspec.ValidationError as error:
        raise UserError(f"a record of the sound in {path}", f"a damaged one ({error})", "run fit again") from error
