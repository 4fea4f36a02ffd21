"""The demo's own voice: a glottal source, noise, and formant resonators driven by phones.

A parallel of Klatt's synthesizer (Klatt, "Software for a cascade/parallel formant
synthesizer", JASA 67, 1980) cut down to what a made-up language needs: the vocal folds'
pulses (Rosenberg 1971) and aspiration go through a cascade of resonators, frication and
bursts through resonators of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from gaussavatar.storage import atomic_path
from gaussavatar.synthetic.speech import SILENCE, VOWELS, Phone, babble
from gaussavatar.types import ANALYSIS_RATE, Waveform

RATE = ANALYSIS_RATE
BLOCK = 80
"""Samples (5 ms) over which filters and amplitudes stay constant."""


@dataclass(frozen=True)
class Sound:
    """Acoustic targets of a phone: formants in Hz, amplitudes 0..1, and the frication's band in Hz."""

    formants: tuple[float, float, float, float]
    voice: float = 1.0
    breath: float = 0.0
    hiss: float = 0.0
    band: tuple[float, float] = (4000.0, 2000.0)
    nasal: float = 0.0
    closed: bool = False


SOUNDS = {
    "a": Sound((760, 1250, 2500, 3500)),
    "e": Sound((500, 1850, 2500, 3550)),
    "i": Sound((300, 2250, 2950, 3650)),
    "o": Sound((470, 880, 2450, 3400)),
    "u": Sound((320, 780, 2300, 3350)),
    "@": Sound((500, 1450, 2450, 3500), voice=0.85),
    "m": Sound((260, 1000, 2200, 3300), voice=0.45, nasal=1.0),
    "n": Sound((260, 1600, 2500, 3400), voice=0.45, nasal=1.0),
    "l": Sound((340, 1200, 2700, 3500), voice=0.60),
    "r": Sound((380, 1250, 1700, 3300), voice=0.60),
    "w": Sound((310, 700, 2200, 3300), voice=0.60),
    "j": Sound((290, 2200, 2950, 3600), voice=0.65),
    "h": Sound((500, 1450, 2500, 3500), voice=0.0, breath=0.65),
    "f": Sound((350, 1150, 2300, 3400), voice=0.0, hiss=0.16, band=(6200, 5000)),
    "v": Sound((320, 1100, 2300, 3400), voice=0.45, hiss=0.07, band=(6000, 5000)),
    "s": Sound((320, 1650, 2550, 3500), voice=0.0, hiss=0.50, band=(6300, 1700)),
    "z": Sound((300, 1600, 2550, 3500), voice=0.40, hiss=0.26, band=(6200, 1800)),
    "S": Sound((330, 1750, 2500, 3400), voice=0.0, hiss=0.52, band=(3300, 1500)),
    "p": Sound((300, 900, 2300, 3400), voice=0.0, closed=True, band=(900, 1500)),
    "b": Sound((260, 900, 2300, 3400), voice=0.0, closed=True, band=(900, 1500)),
    "t": Sound((320, 1750, 2650, 3500), voice=0.0, closed=True, band=(4700, 2800)),
    "d": Sound((280, 1700, 2600, 3500), voice=0.0, closed=True, band=(4300, 2800)),
    "k": Sound((320, 1900, 2350, 3400), voice=0.0, closed=True, band=(2300, 1300)),
    "g": Sound((280, 1850, 2300, 3400), voice=0.0, closed=True, band=(2200, 1300)),
    SILENCE: Sound((480, 1400, 2450, 3500), voice=0.0),
}
VOICED_STOPS = ("b", "d", "g")
BANDWIDTHS = (70.0, 95.0, 140.0, 220.0)


def speak_phones(phones: tuple[Phone, ...], seed: int = 0, *, pitch_hz: float = 118.0) -> Waveform:
    """Turn phones into 16 kHz sound; digital silence where they are silent.

    Args:
        phones: contiguous phones from time 0.
        seed: decides breath noise and the pitch's wandering.
        pitch_hz: mean pitch.
    """
    random = np.random.default_rng([seed, 61])
    n_blocks = int(np.ceil(phones[-1].end * RATE / BLOCK))
    tracks = _tracks(phones, n_blocks)
    pulses, open_phase = _glottis(_pitch(phones, n_blocks, pitch_hz, random), random)
    noise = random.normal(0, 1, n_blocks * BLOCK)
    voiced = pulses * _per_sample(tracks["voice"])
    breathy = noise * (_per_sample(tracks["breath"]) + 0.035 * _per_sample(tracks["voice"]) * open_phase)
    throat = _cascade(voiced + 0.35 * breathy, tracks["formants"], tracks["nasal"])
    hiss = _band_noise(noise * _per_sample(tracks["hiss"]), tracks["band"])
    bar = lfilter([0.06], [1, -0.94], pulses * _per_sample(tracks["bar"]))
    sound = 0.36 * throat + 0.55 * hiss + bar
    sound *= _gate(phones, len(sound))
    samples = sound[: round(phones[-1].end * RATE)]
    peak = np.abs(samples).max(initial=0)
    return Waveform((samples * (0.7 / peak if peak > 0 else 1)).astype(np.float32), RATE)


def _tracks(phones: tuple[Phone, ...], n_blocks: int) -> dict[str, np.ndarray]:
    """Acoustic targets of every 5 ms block, gliding between phones."""
    time = (np.arange(n_blocks) + 0.5) * BLOCK / RATE
    sounds = [SOUNDS[phone.symbol] for phone in phones]
    index = np.clip(np.searchsorted([phone.start for phone in phones], time, side="right") - 1, 0, len(phones) - 1)
    tracks: dict[str, np.ndarray] = {}
    for name in ("voice", "breath", "hiss", "nasal"):
        tracks[name] = _blur(np.array([getattr(sound, name) for sound in sounds])[index], 3)
    stress = np.array([phone.stress for phone in phones])[index]
    tracks["voice"] = tracks["voice"] * _blur(stress, 9)
    formants = _voiced_targets(sounds)
    tracks["formants"] = np.stack([_blur(formants[index, k], 9) for k in range(4)], 1)
    tracks["band"] = np.array([sound.band for sound in sounds])[index]
    tracks["bar"] = _blur(0.5 * np.array([phone.symbol in VOICED_STOPS for phone in phones])[index], 3)
    _add_bursts(tracks, phones, time)
    return tracks


def _voiced_targets(sounds: list[Sound]) -> np.ndarray:
    """Formant targets; breath takes those of the sound that follows."""
    targets = np.array([sound.formants for sound in sounds], float)
    for k in range(len(sounds) - 2, -1, -1):
        if sounds[k].breath > 0:
            targets[k] = targets[k + 1]
    return targets


def _add_bursts(tracks: dict[str, np.ndarray], phones: tuple[Phone, ...], time: np.ndarray) -> None:
    """Stops: nothing while closed, then a short burst, and breath after the voiceless ones."""
    for phone in phones:
        if not SOUNDS[phone.symbol].closed:
            continue
        voiceless = phone.symbol not in VOICED_STOPS
        release = phone.end - (0.030 if voiceless else 0.012)
        closed = (time >= phone.start) & (time < release)
        for name in ("voice", "breath", "hiss"):
            tracks[name][closed] = 0
        burst = (time >= release) & (time < release + (0.020 if voiceless else 0.010))
        tracks["hiss"][burst] = 0.75 if voiceless else 0.4
        tracks["band"][burst] = SOUNDS[phone.symbol].band
        after = (time >= release + 0.008) & (time < phone.end + 0.01)
        tracks["breath"][after] = np.maximum(tracks["breath"][after], 0.35 if voiceless else 0.0)


def _blur(values: np.ndarray, width: int) -> np.ndarray:
    window = np.hanning(width + 2)[1:-1]
    padded = np.pad(np.asarray(values, float), width // 2, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")[: len(values)]


def _per_sample(values: np.ndarray) -> np.ndarray:
    """Block values as samples, joined by straight lines."""
    middle = (np.arange(len(values)) + 0.5) * BLOCK
    return np.interp(np.arange(len(values) * BLOCK), middle, values)


def _pitch(phones: tuple[Phone, ...], n_blocks: int, mean: float, random: np.random.Generator) -> np.ndarray:
    """Pitch of every sample: falls through each breath group, rises on stress, wanders a little."""
    time = (np.arange(n_blocks) + 0.5) * BLOCK / RATE
    contour = np.ones(n_blocks)
    groups = [phone for phone in phones if phone.symbol == SILENCE and phone.end - phone.start > 0.25]
    edges = [0.0, *[(phone.start + phone.end) / 2 for phone in groups], phones[-1].end]
    for start, end in zip(edges, edges[1:], strict=False):
        inside = (time >= start) & (time < end)
        along = (time[inside] - start) / max(end - start, 1e-6)
        contour[inside] = 1.14 - 0.26 * along + 0.03 * np.sin(9 * along)
    for phone in phones:
        if phone.symbol in VOWELS and phone.stress > 1:
            contour += 0.09 * np.exp(-0.5 * ((time - phone.middle) / 0.06) ** 2)
    knots = np.arange(0, time[-1] + 0.2, 0.1)
    wander = np.interp(time, knots, random.normal(0, 0.012, len(knots)))
    return _per_sample(mean * contour * (1 + wander))


def _glottis(pitch: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Differentiated Rosenberg pulses, and when the folds are open (0..1)."""
    phase = np.cumsum(pitch / RATE * (1 + 0.008 * random.normal(size=len(pitch)))) % 1.0
    opening, closing = 0.40, 0.16
    rising = phase < opening
    falling = (phase >= opening) & (phase < opening + closing)
    flow = np.where(rising, 0.5 * (1 - np.cos(np.pi * phase / opening)), 0.0)
    flow = np.where(falling, np.cos(np.pi / 2 * (phase - opening) / closing), flow)
    pulses = np.diff(flow, prepend=flow[0])
    return pulses / max(float(np.abs(pulses).max()), 1e-9), flow


def _resonator(frequency: float, bandwidth: float) -> tuple[list[float], list[float]]:
    """Klatt 1980, eq. 2: a two-pole resonator with unit gain at zero frequency."""
    c = -np.exp(-2 * np.pi * bandwidth / RATE)
    b = 2 * np.exp(-np.pi * bandwidth / RATE) * np.cos(2 * np.pi * frequency / RATE)
    return [1 - b - c], [1.0, -b, -c]


def _cascade(source: np.ndarray, formants: np.ndarray, nasal: np.ndarray) -> np.ndarray:
    """The throat: four moving resonators one after another, damped by an open nose."""
    out = source.copy()
    for k in range(4):
        state = np.zeros(2)
        for block, (frequency, damping) in enumerate(zip(formants[:, k], nasal, strict=True)):
            bandwidth = BANDWIDTHS[k] * (1 + (0.5 if k == 0 else 1.8) * damping)
            span = slice(block * BLOCK, (block + 1) * BLOCK)
            out[span], state = lfilter(*_resonator(frequency, bandwidth), out[span], zi=state)
    return out


def _band_noise(noise: np.ndarray, band: np.ndarray) -> np.ndarray:
    """Noise through one moving resonance, without its low end."""
    out = noise.copy()
    state = np.zeros(2)
    for block, (centre, width) in enumerate(band):
        span = slice(block * BLOCK, (block + 1) * BLOCK)
        b, a = _resonator(min(centre, RATE * 0.46), width)
        gain = np.sqrt(width / 4000.0) * np.sqrt(1.0 + (centre / 1500.0) ** 2) / (1.0 + (centre / 1000.0) ** 2)
        out[span], state = lfilter(np.array(b) * gain, a, out[span], zi=state)
    return out - 0.9 * np.concatenate([[0.0], out[:-1]])


def _gate(phones: tuple[Phone, ...], n_samples: int) -> np.ndarray:
    """0 in silences, 1 in speech, with ramps of 12 ms inside the silences' edges."""
    gate = np.ones(n_samples)
    ramp = int(0.012 * RATE)
    for phone in phones:
        if phone.symbol == SILENCE:
            a, b = round(phone.start * RATE), min(round(phone.end * RATE), n_samples)
            fade = np.zeros(b - a)
            if phone.start > 0:
                fade[:ramp] = np.linspace(1, 0, ramp)[: len(fade)]
            gate[a:b] = fade
    return gate


def write_wave(path: Path, sound: Waveform) -> None:
    """Write mono 16-bit PCM, atomically."""
    import soundfile

    with atomic_path(path) as temporary:
        soundfile.write(temporary, sound.samples, sound.rate, subtype="PCM_16", format="WAV")


def make_voice_sentence(path: Path, seed: int, seconds: float) -> tuple[Phone, ...]:
    """Write a wav of the demo's voice saying something of its own; returns what it says.

    Seeds of sentences are kept apart from those of actors: no actor ever spoke it.

    Args:
        path: the wav file, 16 kHz mono.
        seed: which sentence.
        seconds: its length.
    """
    phones = babble(seconds, seed + 1_000_000, lead=0.2, tail=0.25)
    write_wave(path, speak_phones(phones, seed))
    return phones
