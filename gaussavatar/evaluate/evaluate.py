"""The held-out figures: audio-driven, oracle (real mouth codes), static, and audio shifted by eight frames."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gaussavatar.evaluate.faces import measure_faces
from gaussavatar.evaluate.held_out import Evaluated, HeldOut, drives, open_held_out, rendered_frames, rendering_speed
from gaussavatar.evaluate.metrics import compare_faces, psnr
from gaussavatar.evaluate.perceptual_figures import perceptual_figures
from gaussavatar.evaluate.publish import publish
from gaussavatar.evaluate.speech import SpeechRequest, speech_figures
from gaussavatar.image.losses import ssim
from gaussavatar.image.perceptual import PerceptualLoss
from gaussavatar.media.images import write_image
from gaussavatar.media.packed import open_frames, packed_writer
from gaussavatar.native.threads import frame_parallel
from gaussavatar.progress import Progress
from gaussavatar.render.device import DeviceWish
from gaussavatar.storage import ChosenFrames, Pictures, scratch_folder, write_json
from gaussavatar.training.layout import FitLayout


def picture_figures(rendered: Pictures, real: Pictures, masks: Pictures, boxes: np.ndarray) -> dict[str, float]:
    """PSNR and SSIM, mean over frames: full composite, head (real head mask), mouth (box around the lips)."""
    rows = []
    for image, truth, mask, box in zip(rendered, real, masks, boxes, strict=True):
        head = mask[..., 0] > 127
        mouth = np.zeros(head.shape, bool)
        x0, y0, x1, y1 = box[0].astype(int)
        mouth[y0:y1, x0:x1] = True
        pair = (torch.from_numpy(a[None]).float() / 255 for a in (image, truth))
        similarity = ssim(*pair)[0].numpy()
        similarity = similarity.mean(axis=-1) if similarity.ndim == 3 else similarity
        rows.append(
            (
                psnr(image, truth),
                psnr(image, truth, head),
                psnr(image, truth, mouth),
                float(similarity.mean()),
                float(similarity[head].mean()),
            )
        )
    names = ("psnr_full", "psnr_head", "psnr_mouth", "ssim_full", "ssim_head")
    return dict(zip(names, np.nanmean(np.array(rows), axis=0).tolist(), strict=True))


def evaluate_held_out(held: HeldOut, folder: Path, progress: Progress) -> Evaluated:
    """Figures of every drive, its rendered frames, which go into ``folder``, and the real frames."""
    real, masks = (ChosenFrames(store, held.indices) for store in (held.clip.frames, held.clip.masks))
    boxes = held.clip.boxes[held.indices]
    ways = drives(held)
    figures: dict[str, Any] = {}
    rendered = {}
    with progress.stage("evaluation", 2 * len(ways) + 1) as advance, ThreadPoolExecutor(2) as pool:
        measured = {"real": pool.submit(measure_faces, real)}
        for name, (codes, upper) in ways.items():
            with packed_writer(folder / name, (held.clip.size, held.clip.size, 3), lasting=False) as writer:
                for image in rendered_frames(held, codes, upper):
                    writer.append(image)
            rendered[name] = open_frames(folder / name)
            measured[name] = pool.submit(measure_faces, rendered[name])
            advance(1)
        truth = measured["real"].result()
        advance(1)
        for name in ways:
            figures[name] = compare_faces(measured[name].result(), truth)
            if not name.startswith("audio_"):
                figures[name] |= picture_figures(rendered[name], real, masks, boxes)
            advance(1)
    shifted = max(figures.pop("audio_early")["lip_r"], figures.pop("audio_late")["lip_r"])
    figures["audio"]["lip_r_shifted"] = shifted
    figures["audio"]["lip_r_drop"] = figures["audio"]["lip_r"] - shifted
    faces = {name: measured[name].result() for name in ways}
    return Evaluated(figures, rendered, faces, real, truth)


def evaluate_avatar(
    folder: Path,
    save_frames: Path | None,
    progress: Progress,
    lpips_weights: Path | None = None,
    speech: SpeechRequest | None = None,
    device: DeviceWish = "cpu",
) -> dict[str, Any]:
    """Recompute the held-out figures; writes ``report/metrics.json`` and, if asked, lossless frames.

    ``lpips_weights`` adds perceptual figures, see :class:`~gaussavatar.image.perceptual.PerceptualLoss`; ``speech``
    those of :mod:`gaussavatar.evaluate.speech`; ``device`` renders.

    Raises:
        UserError: the avatar or the weights are damaged, or its capture folder is gone.
    """
    net = None if lpips_weights is None else PerceptualLoss(lpips_weights)
    with scratch_folder() as scratch:
        with frame_parallel():
            held = open_held_out(folder, device)
            found = evaluate_held_out(held, scratch, progress)
            if net is not None:
                progress.say(f"perceptual figures: {net.title}")
                masks, boxes = ChosenFrames(held.clip.masks, held.indices), held.clip.boxes[held.indices]
                for name, figures in found.figures.items():
                    figures |= perceptual_figures(net, found.rendered[name], found.real, masks, boxes)
            spoken = speech and speech_figures(folder, held, found, speech, progress)
        metrics = _metrics(held, found.figures, net, spoken)
        write_json(FitLayout(folder).metrics, metrics)
        if save_frames is not None:
            for index, image, truth in zip(held.indices, found.rendered["audio"], found.real, strict=True):
                write_image(save_frames / f"rendered_{index:06d}.png", image)
                write_image(save_frames / f"real_{index:06d}.png", truth)
        publish(folder, held, metrics, found.rendered, found.real)
    return metrics


def _metrics(
    held: HeldOut, figures: dict[str, Any], net: PerceptualLoss | None, spoken: dict[str, Any] | None
) -> dict[str, Any]:
    """What ``report/metrics.json`` says."""
    return {
        "pose_protocol": held.avatar.record.pose_protocol,
        "image_size": held.clip.size,
        "held_out_frames": len(held.indices),
        "training_frames": int(held.clip.usable[: held.clip.n_train].sum()),
        "gaussians": {"face": len(held.avatar.model.face.gaussians), "mouth": len(held.avatar.model.mouth.gaussians)},
        "render_fps": round(rendering_speed(held), 1),
        **({} if net is None else {"perceptual_network": net.title}),
        **{name: {key: round(value, 4) for key, value in values.items()} for name, values in figures.items()},
        **({} if spoken is None else {"speech": spoken}),
    }
