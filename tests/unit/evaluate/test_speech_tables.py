"""The figures of speech as they are shown: complete, with chance beside shares, and silent where nothing is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from gaussavatar.evaluate.report import write_report
from gaussavatar.evaluate.speech import plain
from gaussavatar.evaluate.speech_tables import speech_lines, speech_section, speech_tables

LIPS = {"aperture_r": 0.61, "width_r": 0.5, "drop": 0.5, "lag_frames": -0.75, "lag_ms": -30.0, "lmd": 1.2}
UNITS = {"upper": 0.08, "lower": 0.17, "upper_r": 0.6, "lower_r": None}
THEVAL = {
    name: {"rendered": 0.1, "real": 0.2, "score": 0.5} for name in ("lip_dynamics", "silent_lip_stability", "lip_sync")
}
SPEECH = {
    "silences": "silero-vad",
    "notes": ["espeak-ng: <none> & nothing"],
    "codes": {**LIPS, "closure_recall": 0.92, "closure_recall_chance": 0.81, "real_silence_closed": 0.8},
    "blocks": {"aperture_r": 0.68, "std_ratio": 0.87, "closure_recall": 0.78},
    "rendered": {name: {**LIPS, "units": UNITS, "theval": THEVAL} for name in ("audio", "oracle")},
    "voices": {
        "agreement": 0.55, "agreement_chance": 0.01, "labials_closed": 0.31, "labials_chance": 0.2,
        "voices": [{"name": "flite slt", "kind": "engine", "language": "en", "labials_closed": 0.35, "lag_ms": 3.0}],
        "texts": [{"text": "My mother", "kind": "engine", "language": "en", "voices": 9, "agreement": 0.536,
                   "agreement_spoken": 0.5, "worst": 0.3, "chance": -0.03}],
    },
}  # fmt: skip


def test_every_family_has_its_table_and_every_row_as_many_values_as_heads() -> None:
    tables = dict(speech_tables(SPEECH))
    assert list(tables) == [
        "Lips", "Closing", "Action units", "THEval", "Strange voices", "Voice by voice", "Text by text"
    ]  # fmt: skip
    for heads, rows in tables.values():
        assert all(len(values) == len(heads) for _, values in rows)
    heads, rows = tables["Lips"]
    assert heads[:2] == ["By audio, codes", "Blocks, codes"] and dict(rows)["Opening, correlation"][:2] == [
        "0.610",
        "0.680",
    ]
    assert dict(tables["Closing"][1])["Real closures made"] == ["0.92", "0.81", "–", "0.78", "–"]
    assert dict(tables["Strange voices"][1])["m, b, p closed, engines"] == ["0.31", "0.20"]


def test_the_page_has_the_section_and_nothing_of_it_among_the_facts(tmp_path: Path) -> None:
    metrics = {"audio": {"lip_r": 0.6}, "image_size": 256, "speech": SPEECH}
    nothing = {"curves": {}, "pairs": [], "video": None, "stages": {}, "config_yaml": ""}
    write_report(tmp_path / "r.html", title="x", metrics=metrics, **nothing)
    page = (tmp_path / "r.html").read_text()
    assert "Silent-lip stability" in page and "flite slt en" in page and "espeak-ng: &lt;none&gt; &amp; nothing" in page
    assert "Speech: codes" not in page
    assert speech_section(None) == "" == speech_section({})


def test_text_for_a_terminal() -> None:
    lines = speech_lines(SPEECH)
    assert lines[0] == "speech (silences by silero-vad)" and any("flite slt en" in line for line in lines)
    assert speech_lines({"silences": "energy"})[0].endswith("energy)")


def test_figures_become_json() -> None:
    value = plain(
        {"a": float("nan"), "b": [np.float32(0.123456789), np.int64(3)], "c": {"d": "x", "e": None}, "f": 1e-5}
    )
    assert json.loads(json.dumps(value, allow_nan=False)) == {
        "a": None, "b": [0.12346, 3], "c": {"d": "x", "e": None}, "f": 1e-5
    }  # fmt: skip
