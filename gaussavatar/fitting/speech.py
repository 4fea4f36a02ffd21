"""The networks that hear the mouth, fitted to a clip: its best one and a light one, from one bank of voices."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import numpy as np
import torch
from jaxtyping import Bool, Float

from gaussavatar.audio.batches import AudioBatcher, kept_voices, voices
from gaussavatar.audio.blend import heard_together
from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.audio.features.registry import open_features
from gaussavatar.audio.own_range import OwnRange, fit_own_range
from gaussavatar.audio.pretrain import AudioPretrainConfig, Pretrained, pretrain_encoder, speaking_frames, steps_of
from gaussavatar.audio.targets import lip_displacement
from gaussavatar.errors import UserError
from gaussavatar.fitting.preparation import Job
from gaussavatar.storage import arrays_key, content_key, read_arrays, write_arrays
from gaussavatar.training.data import Clip
from gaussavatar.types import Waveform

NETWORKS = BEST, LIGHT = "best", "light"
"""The audio networks of an avatar."""

_PREDICTED = "predicted"


@dataclass(frozen=True)
class SpeechNetworks:
    """What an avatar hears with.

    Attributes:
        best: trained on the recipe's features.
        light: for pages and live sound; None where the best is as light.
        blend: the person's range against the answer of both together; None without a light one, or where the recipe
            leaves the range to a gain.
    """

    best: AudioEncoder
    light: AudioEncoder | None
    blend: OwnRange | None


def bank_of(job: Job, sound: Waveform) -> AudioBatcher:
    """The clip's sound in many voices; kept beside the training, for a run that is resumed.

    Raises:
        UserError: a feature is not known or not installed.
    """
    config, seed = job.config.audio, job.request.seed
    names = heard_together(config.features, config.light)
    feature = open_features(names)
    key = content_key("voices 1", names, msgspec.to_builtins(config.batches), seed, sound.samples.tobytes())
    count = 1 + config.batches.other_voices(sound.seconds)
    with job.progress.stage("other voices", count) as advance:
        made = kept_voices(job.layout.voices, key, lambda: voices(feature, sound, config.batches, seed), advance)
    return AudioBatcher(feature, made, config.batches, seed)


def speech_networks(
    job: Job, device: torch.device, heard: AudioBatcher, clip: Clip, closed: Float[np.ndarray, "m"]
) -> SpeechNetworks:
    """Both networks after pre-training on the clip's motion; kept for a fit that hears and is to say the same.

    They are trained on ``device``, and lie on the CPU.
    """
    config = job.config.audio
    learnt = clip.usable.copy()
    learnt[clip.n_train :] = False
    best = _kept(job, device, BEST, heard, clip, learnt, closed, config)
    if not config.light or config.light == config.features:
        return SpeechNetworks(best.encoder, None, None)
    light = _kept(job, device, LIGHT, heard, clip, learnt, closed, replace(config, features=config.light))
    if best.predicted is None or light.predicted is None or config.range_folds < 2:
        return SpeechNetworks(best.encoder, light.encoder, None)
    share, motion = config.light_share, clip.motion
    predicted = (1 - share) * best.predicted + share * light.predicted
    middle = ((1 - share) * best.encoder.centre + share * light.encoder.centre).numpy()
    speaking = speaking_frames(heard.narrowed(config.light), torch.from_numpy(np.flatnonzero(learnt)))
    known = (predicted, motion.mouth_codes[learnt], motion.aperture[learnt])
    own = fit_own_range(*(values[speaking] for values in known), middle)
    return SpeechNetworks(best.encoder, light.encoder, own)


def _kept(
    job: Job,
    device: torch.device,
    name: str,
    heard: AudioBatcher,
    clip: Clip,
    learnt: Bool[np.ndarray, "n"],
    closed: Float[np.ndarray, "m"],
    config: AudioPretrainConfig,
) -> Pretrained:
    path, progress = job.layout.encoder(name), job.progress
    heard, motion, moved = heard.narrowed(config.features), clip.motion, lip_displacement(clip.motion)
    known = (motion.mouth_codes, motion.aperture, learnt, closed, moved, *(part.numpy() for part in heard.bank))
    key = content_key("network 1", arrays_key(*known), msgspec.to_builtins(config), job.request.seed)
    if path.exists():
        try:
            arrays, metadata = read_arrays(path)
        except UserError as error:
            progress.say(f"{path} cannot be read ({error.came}); the audio network is pre-trained again")
            arrays, metadata = {}, {}
        if metadata.get("key") == key:
            encoder = AudioEncoder(msgspec.json.decode(metadata["config"].encode(), type=EncoderConfig))
            predicted = arrays.pop(_PREDICTED, None)
            encoder.load_state_dict({tensor: torch.from_numpy(array) for tensor, array in arrays.items()})
            return Pretrained(encoder, predicted)
    with progress.stage(f"audio pre-training, {name}", steps_of(config, True)) as advance:
        fitted = pretrain_encoder(
            heard,
            motion.mouth_codes,
            learnt,
            closed,
            config,
            job.request.seed,
            displacement=moved,
            aperture=motion.aperture,
            advance=advance,
            device=device,
            say=progress.say,
        )
    arrays = {tensor: value.numpy() for tensor, value in fitted.encoder.state_dict().items()}
    arrays |= {} if fitted.predicted is None else {_PREDICTED: fitted.predicted}
    write_arrays(path, arrays, {"key": key, "config": msgspec.json.encode(fitted.encoder.config).decode()})
    return fitted
