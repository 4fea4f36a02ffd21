from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS
from gaussavatar.motion.rotations import rotation_matrices
from gaussavatar.synthetic.motion import actor_motion, channels, head_pose, mouth_track
from gaussavatar.synthetic.speech import SILENCE, VOWELS, Phone, babble
from gaussavatar.synthetic.voice import SOUNDS, make_voice_sentence, speak_phones

JOINTS = ("torso", "neck", "head", "jaw", "eye_left", "eye_right")


def say(text: str, seconds: float = 0.16) -> tuple[Phone, ...]:
    return tuple(Phone(symbol, k * seconds, (k + 1) * seconds) for k, symbol in enumerate(text))


def loudness(sound, phone: Phone, margin: float = 0.02) -> float:
    samples = sound.samples[int((phone.start + margin) * sound.rate) : int((phone.end - margin) * sound.rate)]
    return float(np.sqrt((samples**2).mean()))


@pytest.mark.parametrize("seconds", [3.0, 9.5, 20.0])
def test_phones_fill_the_time_without_gaps_and_begin_and_end_silent(seconds: float) -> None:
    phones = babble(seconds, 3)
    assert phones[0].start == 0 and phones[-1].end == pytest.approx(seconds)
    for before, after in zip(phones, phones[1:], strict=False):
        assert before.end == pytest.approx(after.start)
    assert phones[0].symbol == SILENCE and phones[-1].symbol == SILENCE
    spoken = sum(phone.end - phone.start for phone in phones if phone.symbol != SILENCE)
    assert spoken > 0.4 * seconds


def test_every_sound_of_the_language_is_heard_and_seen_somewhere() -> None:
    symbols = {phone.symbol for seed in range(6) for phone in babble(20, seed)}
    assert symbols == set(SOUNDS)


def test_seeds_say_different_things_and_the_same_seed_the_same() -> None:
    assert babble(6, 1) == babble(6, 1) != babble(6, 2)
    first, again, other = (speak_phones(babble(4, 1), seed).samples for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_silent_phones_are_digitally_silent_and_spoken_ones_are_heard() -> None:
    phones = babble(8, 4)
    sound = speak_phones(phones, 4)
    assert len(sound.samples) == 8 * 16_000 and sound.rate == 16_000
    assert 0.3 < np.abs(sound.samples).max() < 1
    for phone in phones:
        if phone.symbol == SILENCE and phone.end - phone.start > 0.06:
            assert loudness(sound, phone) < 1e-4
        if phone.symbol in VOWELS and phone.end - phone.start > 0.07:
            assert loudness(sound, phone) > 0.03


def test_vowels_differ_in_their_formants_and_hisses_lie_high() -> None:
    def centre_of_band(symbol: str, low: float, high: float) -> float:
        sound = speak_phones(say(f"_{symbol}{symbol}{symbol}_"), 0)
        spectrum = np.abs(np.fft.rfft(sound.samples)) ** 2
        frequency = np.fft.rfftfreq(len(sound.samples), 1 / sound.rate)
        inside = (frequency > low) & (frequency < high)
        return float((spectrum[inside] * frequency[inside]).sum() / spectrum[inside].sum())

    assert centre_of_band("a", 200, 1100) > centre_of_band("i", 200, 1100) + 150
    assert centre_of_band("i", 1200, 3500) > centre_of_band("u", 1200, 3500) + 100
    assert centre_of_band("s", 100, 8000) > 4500 > centre_of_band("S", 100, 8000) > 2500


def test_lips_are_closed_on_closed_sounds_and_in_silence_and_open_on_vowels() -> None:
    phones = say("__ama_apa_", 0.16)
    track = mouth_track(phones, 200, 125)
    jaw = track[:, ARKIT_EXPRESSIONS.index("jawOpen")]
    press = track[:, ARKIT_EXPRESSIONS.index("mouthPressLeft")]
    for phone in phones:
        inside = slice(int((phone.middle - 0.02) * 125), int((phone.middle + 0.02) * 125))
        if phone.symbol in ("m", "p", SILENCE):
            assert jaw[inside].max() < 0.01
        else:
            assert jaw[inside].max() > 0.15
    assert press[int(phones[3].middle * 125)] > 0.15


def test_neighbours_colour_a_vowel() -> None:
    pucker = ARKIT_EXPRESSIONS.index("mouthPucker")

    def at_vowel(text: str) -> float:
        return float(mouth_track(say(text, 0.1), 60, 100)[15, pucker])

    assert at_vowel("_aww") > at_vowel("_att") + 0.03


def test_shapes_without_a_side_stand_for_both_sides() -> None:
    row = channels({"mouthSmile": 0.5, "jawOpen": 0.2})
    names = [ARKIT_EXPRESSIONS[k] for k in np.flatnonzero(row)]
    assert sorted(names) == ["jawOpen", "mouthSmileLeft", "mouthSmileRight"]


def test_the_actor_blinks_moves_its_head_gently_and_stays_in_range() -> None:
    motion = actor_motion(babble(20, 2), 500, 25, 2, JOINTS)
    assert motion.expression.shape == (500, 52) and motion.joints.shape == (500, 6, 3)
    assert motion.expression.min() >= 0 and motion.expression.max() <= 1
    blink = motion.expression[:, ARKIT_EXPRESSIONS.index("eyeBlinkLeft")]
    starts = np.flatnonzero((blink[1:] > 0.5) & (blink[:-1] <= 0.5))
    assert 3 <= len(starts) <= 14
    turn = motion.joints[:, 1:3].sum(1)
    assert 0.05 < np.abs(turn[:, 1]).max() < 0.4 and np.abs(turn).max() < 0.45
    assert np.abs(np.diff(turn, axis=0)).max() < 0.05
    assert np.abs(motion.body).max() < 0.03


def test_the_head_pose_is_what_skinning_does_to_the_skull() -> None:
    random = np.random.default_rng(0)
    joints, positions = 0.2 * random.normal(size=(3, 6, 3)), random.normal(size=(6, 3))
    R, t = head_pose(joints, positions, (-1, 0, 1, 2, 2, 2), 2)
    point = random.normal(size=3)
    for frame in range(3):
        moved = point
        for joint in (2, 1, 0):
            turn = rotation_matrices(torch.tensor(joints[frame, joint])).numpy()
            moved = turn @ (moved - positions[joint]) + positions[joint]
        np.testing.assert_allclose(R[frame] @ point + t[frame], moved, atol=1e-9)


def test_a_sentence_is_a_wav_of_the_length_asked_for(tmp_path) -> None:
    phones = make_voice_sentence(tmp_path / "a.wav", 1, 2.5)
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert rate == 16_000 and len(samples) == 40_000 and samples.ndim == 1
    assert np.abs(samples).max() > 0.3
    assert phones != babble(2.5, 1)
