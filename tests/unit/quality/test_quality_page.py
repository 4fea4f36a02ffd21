"""The whole gate on the drawn clip: record, page and overlay video."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.media.frames import read_frames
from gaussavatar.media.probe import probe
from gaussavatar.progress import QuietProgress
from gaussavatar.quality.overlay import EVERY, STRETCH_FRAMES, STRETCHES, shown_frames
from gaussavatar.quality.records import Quality, load_quality
from gaussavatar.quality.stage import check_quality
from gaussavatar.quality.tables import CARDS, finding_lines, quality_table
from gaussavatar.quality.verdict import judge

from .conftest import SIDE, Person, voice

EVIL = '<script>alert("x")</script>&.mp4'
GOOD = {
    "used_seconds": 120.0, "dropped_share": 0.0, "face_px": 300.0, "blur": 0.55, "smeared_share": 0.0, "luma": 120.0,
    "blown_share": 0.0, "crushed_share": 0.0, "light_range": 0.1, "light_step": 0.05, "yaw_low": -20.0,
    "yaw_high": 20.0, "pitch_low": -10.0, "pitch_high": 10.0, "mouth_range": 0.15, "blinks_per_minute": 15.0,
    "camera_px": 0.2, "static_camera": 1.0, "plate_residual": 1.0, "residual_px": 0.5, "shake_deg": 0.03,
    "repeated_share": 0.0, "cuts": 0.0, "has_sound": 1.0, "av_offset_ms": 5.0, "av_offset_trusted": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(person: Person, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gate")
    used = np.ones(800, bool)
    used[100:200] = False
    person.write(
        folder,
        sound=voice(person.clip.mouth + 0.02),
        tracking=replace(person.tracking, valid=used),
        source={"name": EVIL, "notes": ["HDR was turned into <i>SDR</i>"]},
    )
    check_quality(folder, SIDE, QuietProgress())
    return folder


class Reader(HTMLParser):
    """Collects tags, addresses and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "poster", "action")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_is_self_contained_and_escapes_the_name(folder: Path) -> None:
    page = (folder / "quality.html").read_text()
    reader = Reader(page)
    assert "script" not in reader.tags and "link" not in reader.tags and "i" in reader.tags
    assert reader.addresses and all(address.startswith("data:") for address in reader.addresses)
    assert not re.search(r"url\(|@import|https?://", page)
    assert EVIL in "".join(reader.words) and "HDR was turned into <i>SDR</i>." in "".join(reader.words)
    assert page.count("<svg") == 5


def test_the_page_says_verdict_advice_and_lost_stretches(folder: Path) -> None:
    text = "".join(Reader((folder / "quality.html").read_text()).words)
    quality = load_quality(folder)
    assert quality.verdict == "usable" and "Usable" in text
    for finding in quality.findings:
        assert finding.advice in text
    assert "0:04 to 0:08 (4.00 s): face not understood" in text


def test_the_record_reads_back_and_is_plain(folder: Path) -> None:
    quality = load_quality(folder)
    plain = json.loads((folder / "quality.json").read_text())
    assert plain["verdict"] == quality.verdict and plain["figures"] == dict(quality.figures)
    assert quality.figures["dropped_share"] == 0.125
    (folder / "quality.json").with_name("copy").mkdir(exist_ok=True)
    damaged = folder / "copy" / "quality.json"
    damaged.write_text(json.dumps(plain | {"verdict": "splendid"}))
    with pytest.raises(UserError, match="damaged"):
        load_quality(damaged.parent)


def test_the_overlay_is_as_long_as_the_clip_and_marks_unused_frames(folder: Path, person: Person) -> None:
    video = folder / "quality.mp4"
    info = probe(video)
    assert info.seconds == pytest.approx(len(shown_frames(800)) * EVERY / 25, abs=0.1)
    frames = list(read_frames(video, width=info.width, height=info.height, fps=None))
    shown = shown_frames(800)
    red = np.array([frame[1:4, :].mean((0, 1)) @ [1, -0.5, -0.5] > 60 for frame in frames])
    used = ~((shown >= 100) & (shown < 200))
    assert np.array_equal(red, ~used)


def test_long_clips_are_shown_in_pieces() -> None:
    short = shown_frames(STRETCHES * STRETCH_FRAMES)
    assert len(short) == STRETCHES * STRETCH_FRAMES / EVERY and np.all(np.diff(short) == EVERY)
    long = shown_frames(15000)
    assert len(long) == STRETCHES * STRETCH_FRAMES / EVERY
    assert long[0] == 0 and long[-1] > 14990 and np.all(np.diff(long) > 0)


def test_the_terminal_table_has_every_card(folder: Path) -> None:
    from rich.console import Console

    quality = load_quality(folder)
    console = Console(width=140, record=True, quiet=False, file=(folder / "table.txt").open("w"))
    console.print(quality_table(quality))
    text = console.export_text()
    assert "quality: usable" in text
    for card in CARDS:
        assert (card.label in text) == all(quality.figures.get(key) is not None for key in card.keys)
    assert any(line.startswith("lost frames: ") for line in finding_lines(quality))


@pytest.mark.parametrize(
    ("changed", "verdict", "subject"),
    [
        ({}, "good", None),
        ({"used_seconds": 20.0}, "usable", "length"),
        ({"used_seconds": 3.0}, "not usable", "length"),
        ({"dropped_share": 0.6}, "not usable", "lost frames"),
        ({"face_px": 120.0}, "usable", "face size"),
        ({"face_px": 70.0}, "not usable", "face size"),
        ({"blur": 0.72}, "usable", "sharpness"),
        ({"blur": 0.8}, "not usable", "sharpness"),
        ({"crushed_share": 0.3}, "usable", "light"),
        ({"light_step": 0.5}, "usable", "exposure"),
        ({"hands_share": 0.1}, "usable", "hands"),
        ({"stranger_share": 0.01}, "usable", "second person"),
        ({"static_camera": 0.0}, "usable", "camera"),
        ({"plate_residual": 9.0}, "good", "background"),
        ({"residual_px": 2.0}, "usable", "tracking"),
        ({"shake_deg": 0.5}, "good", "steadiness"),
        ({"av_offset_ms": -90.0}, "usable", "sound"),
        ({"av_offset_ms": -90.0, "av_offset_trusted": 0.0}, "good", "sound"),
        ({"has_sound": 0.0}, "good", "sound"),
        ({"blinks_per_minute": 1.0}, "good", "blinks"),
        ({"yaw_low": -1.0, "yaw_high": 2.0, "pitch_low": 0.0, "pitch_high": 2.0}, "good", "head turns"),
    ],
)
def test_each_figure_leads_to_its_verdict(changed: dict, verdict: str, subject: str | None) -> None:
    came, findings = judge(GOOD | changed)
    assert came == verdict
    assert {finding.subject for finding in findings} == ({subject} if subject else set())


def test_figures_that_could_not_be_measured_are_no_findings() -> None:
    verdict, findings = judge(dict.fromkeys(GOOD))
    assert verdict == "good" and {finding.subject for finding in findings} == {"sound"}


def test_the_named_offset_is_the_whole_one_where_part_was_corrected_before() -> None:
    _, findings = judge(GOOD | {"av_offset_ms": 100.0, "av_offset_corrected_ms": 50.0})
    assert findings[0].advice == "Run again with --av-offset 150 to move it back."


def test_the_summary_gives_the_deciding_reasons() -> None:
    verdict, findings = judge(GOOD | {"face_px": 120.0, "yaw_low": 0.0, "yaw_high": 1.0, "pitch_low": 9.0})
    quality = Quality(verdict, tuple(findings), GOOD, (), {})
    assert quality.summary == "usable (the face is only 120 pixels high)"


def test_an_unfinished_capture_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"capture\.json"):
        check_quality(tmp_path, SIDE, QuietProgress())
