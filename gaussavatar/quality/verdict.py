"""From figures to words: what is wrong with a clip, what to do about it, and whether it can be used.

Every threshold is a named constant with its reason. The words are for a person who films with a phone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from gaussavatar.audio.offset import EARLY_MS, LATE_MS
from gaussavatar.quality.records import Finding, Severity, Verdict

Figures = Mapping[str, float | None]

LEAST_SECONDS, SHORT_SECONDS, FAIR_SECONDS = 4.0, 30.0, 60.0
"""Below the first nothing can be held out for measuring; below the second some speech sounds never occur (a person
says all sounds of a language within about half a minute); a minute was enough for a convincing mouth."""

MOST_DROPPED, MANY_DROPPED = 0.5, 0.1
"""Parts of the clip that are lost: half of it leaves no continuous speech; a tenth is felt."""

LEAST_FACE_PX, SMALL_FACE_PX = 80.0, 160.0
"""Height of the face in the source. The default avatar shows it about 215 px high; at half of that it is magnified
so far that teeth and lids are guesses."""

SMEARED_BLUR, SOFT_BLUR = 0.78, 0.70
"""Blur of the features. Six real clips lie at 0.48 to 0.66; a Gaussian of 1.5 px raises them to about 0.70, one
of 3 px to 0.78, where lashes, teeth and lip lines are gone."""

MANY_SMEARED = 0.08
"""Part of frames with motion blur that a fit can average away."""

DARK_LUMA, DIM_LUMA = 25.0, 50.0
"""Mean grey of the face. Below the second noise and compression are as strong as the skin's own shading."""

MUCH_BLOWN, MUCH_CRUSHED = 0.05, 0.15
"""Parts of the face without detail. Nostrils, mouth and pupils are naturally black, nothing of a face is white."""

LIGHT_RANGE, LIGHT_STEP = 0.6, 0.3
"""Stops over the clip and within a second. Head turns alone change a face by about 0.2 stops (six real clips: 0.07 to
0.22 and 0.03 to 0.11); one avatar has one light."""

NARROW_YAW, NARROW_PITCH = 12.0, 8.0
"""Degrees of head movement below which the avatar knows hardly more than one view."""

STILL_MOUTH = 0.06
"""Range of the lip gap over the eyes' distance; talking people reach 0.11 to 0.20 (six real clips)."""

FEW_BLINKS = 3.0
"""Blinks per minute; people blink 8 to 40 times a minute."""

CAMERA_PX = 3.0
"""Motion of the camera in pixels at 512: above it the background plate smears and rims show at the hair."""

PLATE_RESIDUAL = 6.0
"""Median grey difference of plate and visible background: above it the background moves or changes."""

HIGH_RESIDUAL_PX = 1.5
"""Distance of landmarks and fit at 512 px; real clips lie at 0.3 to 0.6, unclear faces above 1.5."""

SHAKE_DEG = 0.25
"""Rotation above 6 Hz, rms; 0.05 is steady, 0.3 is seen as trembling."""

MANY_REPEATED = 0.05
"""Part of frames that repeat the picture before: motion then stands still and jumps."""

MANY_HANDS = 0.02

_Rule = Callable[[Figures], Iterator[Finding]]


def judge(figures: Figures) -> tuple[Verdict, list[Finding]]:
    """The verdict and everything found, gravest first."""
    found = [finding for rule in RULES for finding in rule(figures)]
    order = ("stop", "warning", "note")
    found.sort(key=lambda finding: order.index(finding.severity))
    worst = found[0].severity if found else "note"
    verdict: Verdict = {"stop": "not usable", "warning": "usable", "note": "good"}[worst]  # type: ignore[assignment]
    return verdict, found


def _of(figures: Figures, name: str) -> float | None:
    return figures.get(name)


def _above(value: float | None, *steps: tuple[float, Severity]) -> Severity | None:
    """The severity of the first step (highest first) that the value reaches."""
    if value is None:
        return None
    return next((severity for limit, severity in steps if value >= limit), None)


def _below(value: float | None, *steps: tuple[float, Severity]) -> Severity | None:
    if value is None:
        return None
    return next((severity for limit, severity in steps if value < limit), None)


def _length(figures: Figures) -> Iterator[Finding]:
    seconds = _of(figures, "used_seconds")
    severity = _below(seconds, (LEAST_SECONDS, "stop"), (SHORT_SECONDS, "warning"), (FAIR_SECONDS, "note"))
    if severity:
        yield Finding(
            severity,
            "length",
            f"only {seconds:.0f} seconds can be used",
            "Film two to three minutes of the person talking: the avatar can only make the mouth shapes it has seen.",
        )


def _dropped(figures: Figures) -> Iterator[Finding]:
    share = _of(figures, "dropped_share")
    severity = _above(share, (MOST_DROPPED, "stop"), (MANY_DROPPED, "warning"), (1e-9, "note"))
    if severity:
        shown = f"{100 * share:.0f} %" if share >= 0.01 else "less than 1 %"  # type: ignore[operator]
        advice = "The list below says when and why. Keep the whole face in view, without hands, cups or microphones."
        yield Finding(severity, "lost frames", f"{shown} of the clip cannot be used", advice)
    if bridged := _of(figures, "bridged_frames"):
        found = f"the face was lost for a moment; {bridged:.0f} frames in short gaps were filled in"
        yield Finding("note", "lost frames", found)
    hands = _of(figures, "hands_share")
    if hands and hands >= MANY_HANDS:
        yield Finding(
            "warning",
            "hands",
            f"a hand is before the face in {100 * hands:.0f} % of the frames",
            "Keep your hands below the chin while filming.",
        )
    if strangers := _of(figures, "stranger_share"):
        yield Finding(
            "warning",
            "second person",
            f"another face takes over in {100 * strangers:.1f} % of the frames",
            "Those frames are left out. Cut the video to one person for the best result.",
        )


def _size(figures: Figures) -> Iterator[Finding]:
    height = _of(figures, "face_px")
    severity = _below(height, (LEAST_FACE_PX, "stop"), (SMALL_FACE_PX, "warning"))
    if severity:
        yield Finding(
            severity,
            "face size",
            f"the face is only {height:.0f} pixels high",
            "Come closer, so that head and shoulders fill the picture, or film in 1080p or more.",
        )


def _sharpness(figures: Figures) -> Iterator[Finding]:
    severity = _above(_of(figures, "blur"), (SMEARED_BLUR, "stop"), (SOFT_BLUR, "warning"))
    if severity:
        found = "the face is out of focus or smeared" if severity == "stop" else "the face is soft"
        advice = "Wipe the lens, tap on the face to focus before filming, use more light, and send the original file."
        yield Finding(severity, "sharpness", found, advice)
    smeared = _of(figures, "smeared_share")
    if _above(smeared, (MANY_SMEARED, "warning")):
        found = f"{100 * smeared:.0f} % of the frames are smeared by motion"  # type: ignore[operator]
        yield Finding("warning", "motion blur", found, "Use more light and move the head more slowly.")


def _light(figures: Figures) -> Iterator[Finding]:
    severity = _below(_of(figures, "luma"), (DARK_LUMA, "stop"), (DIM_LUMA, "warning"))
    if severity:
        yield Finding(severity, "light", "the face is too dark", "Face a window or a lamp; do not film against it.")
    if _above(_of(figures, "blown_share"), (MUCH_BLOWN, "warning")):
        share = 100 * (_of(figures, "blown_share") or 0)
        yield Finding(
            "warning", "light", f"{share:.0f} % of the face is pure white", "Use softer light, or lower the exposure."
        )
    if _above(_of(figures, "crushed_share"), (MUCH_CRUSHED, "warning")):
        share = 100 * (_of(figures, "crushed_share") or 0)
        yield Finding("warning", "light", f"{share:.0f} % of the face is pure black", "Light the face from the front.")
    spread, step = _of(figures, "light_range"), _of(figures, "light_step")
    if _above(spread, (LIGHT_RANGE, "warning")) or _above(step, (LIGHT_STEP, "warning")):
        yield Finding(
            "warning",
            "exposure",
            f"the brightness changes by {spread:.1f} stops during the clip",
            "Lock the exposure (hold a finger on the face in the phone's camera) and keep lamps and screens steady.",
        )


def _coverage(figures: Figures) -> Iterator[Finding]:
    angles = [_of(figures, name) for name in ("yaw_low", "yaw_high", "pitch_low", "pitch_high")]
    if None not in angles:
        yaw, pitch = angles[1] - angles[0], angles[3] - angles[2]  # type: ignore[operator]
        if yaw < NARROW_YAW and pitch < NARROW_PITCH:
            yield Finding(
                "note",
                "head turns",
                f"the head turns by only {yaw:.0f} degrees and nods by {pitch:.0f}",
                "The avatar will look best from the front. Turn the head slowly to both sides once to see more of it.",
            )
    mouth = _of(figures, "mouth_range")
    if _below(mouth, (STILL_MOUTH, "warning")):
        yield Finding(
            "warning",
            "mouth",
            "the mouth hardly moves, or something covers it",
            "Take off masks, keep microphones and scarves below the chin, and film the person talking clearly, without "
            "pauses, for most of the clip.",
        )
    if _below(_of(figures, "blinks_per_minute"), (FEW_BLINKS, "note")):
        yield Finding(
            "note", "blinks", "hardly any blinks were seen", "Blink naturally; the avatar learns its lids from you."
        )


def _camera(figures: Figures) -> Iterator[Finding]:
    moved, static = _of(figures, "camera_px"), _of(figures, "static_camera")
    if _above(moved, (CAMERA_PX, "warning")) or static == 0:
        extent = f" (by {moved:.0f} pixels of 512)" if moved is not None and moved >= CAMERA_PX else ""
        yield Finding(
            "warning",
            "camera",
            f"the camera or the background moves{extent}",
            "Put the phone on a stand or lean it against something; the background must stay still.",
        )
    elif _above(_of(figures, "plate_residual"), (PLATE_RESIDUAL, "note")):
        yield Finding(
            "note", "background", "the background is not quite still", "A plain, still background gives cleaner hair."
        )


def _tracking(figures: Figures) -> Iterator[Finding]:
    residual = _of(figures, "residual_px")
    if _above(residual, (HIGH_RESIDUAL_PX, "warning")):
        yield Finding(
            "warning",
            "tracking",
            f"the face is followed only to {residual:.1f} pixels",
            "Avoid strong shadows, sunglasses and hair over the eyes; face the camera.",
        )
    shake = _of(figures, "shake_deg")
    if _above(shake, (SHAKE_DEG, "note")):
        found = f"the tracked head trembles a little ({shake:.2f} degrees above 6 Hz)"
        yield Finding("note", "steadiness", found, "Steadier light and a sharper picture help.")
    if repeated := _above(_of(figures, "repeated_share"), (MANY_REPEATED, "warning")):
        share = 100 * (_of(figures, "repeated_share") or 0)
        yield Finding(
            repeated,
            "repeated frames",
            f"{share:.0f} % of the frames repeat the one before",
            "Send the camera's own file, not a screen recording or a call; film at 25 or 30 frames per second.",
        )
    if cuts := _of(figures, "cuts"):
        yield Finding("note", "cuts", f"{cuts:.0f} cut{'s' if cuts > 1 else ''} in the clip", "")


def _sound(figures: Figures) -> Iterator[Finding]:
    if not _of(figures, "has_sound"):
        yield Finding(
            "note", "sound", "the video has no sound", "Enough for tracking; fit needs the person's voice as well."
        )
        return
    if moved := _of(figures, "av_offset_moved_ms"):
        side = "later" if moved > 0 else "earlier"
        yield Finding(
            "note",
            "sound",
            f"the sound came about {abs(moved):.0f} ms {side} than the lips and was moved into step",
            "Run again with --av-offset 0 to leave it as it was recorded.",
        )
    offset, trusted = _of(figures, "av_offset_ms"), _of(figures, "av_offset_trusted")
    if offset is None or not trusted:
        yield Finding("note", "sound", "whether sound and lips are in step could not be measured on this clip", "")
    elif not -EARLY_MS < offset < LATE_MS:
        side = "later" if offset > 0 else "earlier"
        whole = offset + (_of(figures, "av_offset_corrected_ms") or 0.0)
        yield Finding(
            "warning",
            "sound",
            f"the sound comes about {abs(offset):.0f} ms {side} than the lips",
            f"Run again with --av-offset {whole:.0f} to move it back.",
        )


def source_findings(source: Mapping[str, object]) -> list[Finding]:
    """Notes on what the capture had to convert and whom it saw besides, from its ``source`` facts."""
    notes, crowd = source.get("notes"), source.get("crowd_share")
    found = [Finding("note", "file", str(note)) for note in notes] if isinstance(notes, Sequence) else []
    if isinstance(crowd, float) and crowd > 0:
        words = f"another face is in the picture in {100 * crowd:.0f} % of the looks"
        found.append(Finding("note", "second person", words, "Film alone, also without portraits on the wall."))
    return found


RULES: tuple[_Rule, ...] = (_length, _dropped, _size, _sharpness, _light, _coverage, _camera, _tracking, _sound)
