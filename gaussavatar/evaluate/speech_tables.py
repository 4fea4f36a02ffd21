"""The figures of speech in words: for a terminal and for the report page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from gaussavatar.evaluate.tables import DRIVES
from gaussavatar.pages.page import folded, panel, section

LIPS: dict[str, tuple[str, str]] = {
    "aperture_r": ("Opening, correlation", ".3f"),
    "width_r": ("Width, correlation", ".3f"),
    "drop": ("Lost when shifted by 8 frames", ".3f"),
    "lag_frames": ("Lag (frames; positive: late)", "+.2f"),
    "lag_ms": ("Lag (ms)", "+.0f"),
    "lmd": ("LMD (px of 512)", ".3f"),
    "aperture_std_ratio": ("Opening, deviation over the real", ".2f"),
    "width_std_ratio": ("Width, deviation over the real", ".2f"),
    "jitter_ratio": ("Jitter over the real", ".2f"),
}
CLOSING: dict[str, tuple[str, str]] = {
    "closure_recall": ("Real closures made", "closure_recall_chance"),
    "false_closures": ("Closures invented", "false_closures_chance"),
    "silence_closed": ("Silent frames closed", "silence_closed_chance"),
    "silence_at_rest": ("Silent frames at rest", "silence_at_rest_chance"),
    "closed_share": ("Frames closed", ""),
}
"""Shares, and the name of each one's chance level."""

VOICES: dict[str, tuple[str, str, str]] = {
    "agreement": ("Agreement of the engines' voices", ".3f", "agreement_chance"),
    "agreement_spoken": ("The same without pauses", ".3f", ""),
    "agreement_demo": ("Agreement of the demo's voices", ".3f", "agreement_demo_chance"),
    "agreement_real": ("Agreement of recordings with their other throats", ".3f", ""),
    "labials_closed": ("m, b, p closed, engines", ".2f", "labials_chance"),
    "labials_demo_closed": ("m, b, p closed, demo", ".2f", "labials_demo_chance"),
    "amplitude": ("Amplitude over the person's, median", ".2f", ""),
    "amplitude_lowest": ("Amplitude, lowest", ".2f", ""),
    "amplitude_highest": ("Amplitude, highest", ".2f", ""),
    "lag_ms": ("Lag against natural lips (ms), median", "+.0f", ""),
    "lag_own_ms": ("Lag against the clip's own lips (ms), median", "+.0f", ""),
    "labial_lag_ms": ("Lag of closures against their sounds (ms), median", "+.0f", ""),
    "silence_closed": ("Silent frames closed", ".2f", "silence_closed_chance"),
    "silence_at_rest": ("Silent frames at rest", ".2f", "silence_at_rest_chance"),
}
UNITS = {
    "upper": "Upper units, error",
    "upper_r": "Upper units, correlation",
    "lower": "Lower units, error",
    "lower_r": "Lower units, correlation",
}
THEVAL = {
    "lip_dynamics": "Lip dynamics", "silent_lip_stability": "Silent-lip stability", "lip_sync": "Lip-sync"
}  # fmt: skip

Rows = list[tuple[str, list[str]]]


def number(value: Any, form: str) -> str:
    """A figure with its digits, a dash where there is none."""
    return format(value, form) if isinstance(value, int | float) else "–"


def lips_table(speech: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """Held-out lips from codes, over the blocks, and rendered."""
    drives = [name for name in DRIVES if name in speech.get("rendered", {})]
    sources = [speech.get("codes", {}), *(speech["rendered"][name] for name in drives)]
    heads = ["By audio, codes", *(f"{DRIVES[name][0]}, rendered" for name in drives)]
    if "blocks" in speech:
        sources.insert(1, {**speech["blocks"], "aperture_std_ratio": speech["blocks"].get("std_ratio")})
        heads.insert(1, "Blocks, codes")
    return heads, [(label, [number(s.get(key), form) for s in sources]) for key, (label, form) in LIPS.items()]


def closing_table(speech: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """Shares of closures on the held-out part and over the blocks, with what chance gives and the real lips do."""
    codes, blocks = speech.get("codes", {}), speech.get("blocks")

    def values(key: str, by_chance: str) -> list[Any]:
        real = codes.get(f"real_{key}", codes.get(f"{key}_real"))
        found = [codes.get(key), codes.get(by_chance), real]
        return found + ([blocks.get(key), blocks.get(by_chance)] if blocks else [])

    heads = ["By audio", "Chance", "Real lips", *(["Blocks", "Chance"] if blocks else [])]
    return heads, [(label, [number(v, ".2f") for v in values(key, chance)]) for key, (label, chance) in CLOSING.items()]


def units_table(speech: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """Action-unit errors by way of driving."""
    found = {name: speech["rendered"][name]["units"] for name in DRIVES if name in speech.get("rendered", {})}
    rows = [(label, [number(units.get(key), ".3f") for units in found.values()]) for key, label in UNITS.items()]
    return [DRIVES[name][0] for name in found], rows


def theval_table(speech: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """THEval's figures: real, and value and score by way of driving."""
    found = {name: speech["rendered"][name]["theval"] for name in DRIVES if name in speech.get("rendered", {})}
    heads = ["Real", *(text for name in found for text in (DRIVES[name][0], "score"))]
    rows: Rows = []
    for key, label in THEVAL.items():
        real = next((figures[key]["real"] for figures in found.values()), None)
        pairs = [
            text
            for figures in found.values()
            for text in (number(figures[key]["rendered"], ".3g"), number(figures[key]["score"], ".3f"))
        ]
        rows.append((label, [number(real, ".3g"), *pairs]))
    return heads, rows


def syncnet_table(speech: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """SyncNet's figures of real and rendered frames."""
    found = {name: figures for name, figures in speech.get("syncnet", {}).items() if figures}
    names = {"confidence": "Confidence", "distance": "Distance", "offset_frames": "Offset (frames)"}
    heads = [DRIVES[name][0] if name in DRIVES else "Real" for name in found]
    return heads, [(label, [number(f.get(key), ".2f") for f in found.values()]) for key, label in names.items()]


def voices_table(voices: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """The figures over all strange voices."""
    rows = [
        (label, [number(voices.get(key), form), number(voices.get(by_chance), form) if by_chance else ""])
        for key, (label, form, by_chance) in VOICES.items()
    ]
    return ["All voices", "Chance"], rows


def each_voice_table(voices: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """One row per voice."""
    columns = {
        "labials_closed": ("m, b, p closed", ".2f"), "labials_chance": ("chance", ".2f"),
        "amplitude": ("amplitude", ".2f"), "lag_ms": ("lag (ms)", "+.0f"), "lag_error_ms": ("error", ".0f"),
        "labial_lag_ms": ("closures (ms)", "+.0f"), "silence_closed": ("silence closed", ".2f"),
        "silence_at_rest": ("at rest", ".2f"),
    }  # fmt: skip
    rows = [
        (f"{row['name']} {row['language']}".strip(), [number(row.get(key), form) for key, (_, form) in columns.items()])
        for row in voices.get("voices", ())
    ]
    return [label for label, _ in columns.values()], rows


def texts_table(voices: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """Agreement for each text."""
    keys = ("agreement", "agreement_spoken", "worst", "chance")
    rows = [
        (f"{text['language']} {text['text'][:40]} ({text['kind']}, {text['voices']} voices)".strip(),
         [number(text[key], ".3f") for key in keys])
        for text in voices.get("texts", ())
    ]  # fmt: skip
    return ["agreement", "without pauses", "worst voice", "chance"], rows


def speech_tables(speech: Mapping[str, Any]) -> list[tuple[str, tuple[list[str], Rows]]]:
    """Every table with its heading, those without rows left out."""
    voices = speech.get("voices", {})
    tables = [
        ("Lips", lips_table(speech)),
        ("Closing", closing_table(speech)),
        ("Action units", units_table(speech)),
        ("THEval", theval_table(speech)),
        ("SyncNet", syncnet_table(speech)),
    ]
    if voices:
        tables += [
            ("Strange voices", voices_table(voices)),
            ("Voice by voice", each_voice_table(voices)),
            ("Text by text", texts_table(voices)),
        ]
    return [(name, table) for name, table in tables if table[0] and table[1]]


def speech_lines(speech: Mapping[str, Any]) -> list[str]:
    """The tables as plain text."""
    lines = [f"speech (silences by {speech.get('silences')})", *(f"  {note}" for note in speech.get("notes", ()))]
    for name, (heads, rows) in speech_tables(speech):
        width = max(len(label) for label, _ in rows) + 2
        widths = [max(len(text), 9) + 2 for text in heads]
        lines += ["", f"{name:<{width}}" + "".join(f"{head:>{w}}" for head, w in zip(heads, widths, strict=True))]
        lines += [
            f"{label:<{width}}" + "".join(f"{text:>{w}}" for text, w in zip(values, widths, strict=True))
            for label, values in rows
        ]
    return lines


ABOUT: dict[str, str] = {
    "Lips": "Correlation, lag and amplitude of the lips over time against the real ones. LMD from codes is without the "
    "picture's and the detector's errors.",
    "Closing": "A share means something only against its chance level: that of windows of the same "
    "length anywhere. Rest is the person's own opening in silence, which not everybody closes.",
    "Action units": "Mean absolute difference from the real face; 0 is the person's rest, 1 their strong movement.",
    "THEval": "Three figures of THEval (arXiv 2511.04520): score 1 - |rendered - real| / |real|.",
    "SyncNet": "Of faces cropped by landmarks: compare with the real frames' figures beside them alone.",
    "Strange voices": "Agreement: correlation between the lips of voices that say the same. Lags by the sound's "
    "estimator, whose error is some 5 ms; half a frame is 20 ms.",
}


def speech_section(speech: Mapping[str, Any] | None) -> str:
    """The section of the report page; empty where speech was not measured."""
    if not speech:
        return ""
    parts = [
        f"<p>Silences by {escape(str(speech.get('silences')))}. Blocks are of the whole clip, each by a network that "
        "never saw it; strange voices are not of the clip.</p>"
    ]
    parts += [f"<p>{escape(str(note))}</p>" for note in speech.get("notes", ())]
    for name, (heads, rows) in speech_tables(speech):
        about = f"<p>{escape(ABOUT[name])}</p>" if name in ABOUT else ""
        table = panel(_html(name, heads, rows))
        parts.append(folded(name, table) if name not in ABOUT else about + table)
    return section("Speech", *parts)


def _html(name: str, heads: Sequence[str], rows: Rows) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(label)}</th>' + "".join(f"<td>{escape(text)}</td>" for text in values) + "</tr>"
        for label, values in rows
    )
    return (
        f'<table class="figures" style="--columns:{len(heads)}"><thead><tr><th>{escape(name)}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )
