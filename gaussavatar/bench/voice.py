"""How an avatar speaks a voice that is not its own: closure in silence, following the energy."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from gaussavatar.audio.energy import frame_energy, silent_frames
from gaussavatar.avatar.behind import torso_as_filmed
from gaussavatar.avatar.driving import layers, motion_for_sound, opaque_frames
from gaussavatar.avatar.load import load_avatar
from gaussavatar.evaluate.faces import measure_faces
from gaussavatar.evaluate.metrics import jitter
from gaussavatar.media.sound_file import read_audio
from gaussavatar.statistics import correlation


def bench_voice(avatar: Path, audio: Path) -> dict[str, float]:
    """Measure the rendered lips of ``avatar`` under ``audio`` with MediaPipe.

    Returns the mean lip aperture (over the distance of the outer eye corners) in silent
    and in spoken frames, its correlation with the sound's energy, its standard
    deviation, the share of frames where a face was found, and the head's jitter in
    pixels at 512.
    """
    loaded = load_avatar(avatar)
    waveform = read_audio(audio)
    track = motion_for_sound(loaded, waveform)
    count = len(track)
    with tempfile.TemporaryDirectory() as folder:
        behind = torso_as_filmed(loaded.under_frames(Path(folder)))
        series = measure_faces(np.stack(list(opaque_frames(layers(loaded, track, behind)))))
    silent = silent_frames(waveform, count)
    return {
        "frames": count,
        "faces_found": float(np.isfinite(series.aperture).mean()),
        "silent_share": float(silent.mean()),
        "aperture_silence": float(np.nanmean(series.aperture[silent])) if silent.any() else float("nan"),
        "aperture_speech": float(np.nanmean(series.aperture[~silent])) if (~silent).any() else float("nan"),
        "aperture_std": float(np.nanstd(series.aperture)),
        "aperture_energy_r": correlation(series.aperture, frame_energy(waveform, count)),
        "jitter": jitter(series.points),
    }
