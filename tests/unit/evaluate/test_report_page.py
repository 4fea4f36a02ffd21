"""The report page: self-contained, complete, and honest about what is missing."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.evaluate.report import write_report
from gaussavatar.evaluate.tables import facts, metrics_table, rows

METRICS = {
    "pose_protocol": "landmarks",
    "held_out_frames": 161,
    "gaussians": {"face": 12000, "mouth": 1500},
    "audio": {"psnr_head": 28.934, "lmd": 1.7, "lip_r": 0.71, "lip_r_shifted": 0.2, "new_figure": 3.25},
    "oracle": {"psnr_head": 29.5, "lmd": 0.8, "lip_r": 0.97},
    "static": {"psnr_head": 27.4, "lmd": 2.0, "lip_r": 0.0},
}


class Links(HTMLParser):
    """Collects everything that a page would load, and checks that its tags are balanced."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "poster", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"


@pytest.fixture
def page(tmp_path: Path) -> str:
    real = np.full((32, 32, 3), (200, 40, 40), np.uint8)
    rendered = np.full((32, 32, 3), (40, 40, 200), np.uint8)
    video = tmp_path / "held_out.mp4"
    video.write_bytes(b"not decoded, only carried")
    write_report(
        tmp_path / "report" / "report.html",
        title="a <b>bold</b> name",
        metrics=METRICS,
        curves={"loss": [(step, 1 / (1 + step)) for step in range(500)], "empty": []},
        pairs=[(real, rendered, "frame 12")],
        video=video,
        stages={"capture": 12.34, "training": 245.0},
        cpu_seconds={"capture": 9.5, "training": 430.25},
        config_yaml="image_size: 256\nname: <script>\n",
    )
    return (tmp_path / "report" / "report.html").read_text()


def test_the_page_says_where_the_time_went(page: str) -> None:
    assert "4 min 17 s in all, 440 seconds of CPU." in page
    assert "<td>4 min 5 s</td><td>430.2 s CPU</td>" in page


def test_the_page_is_whole_and_loads_nothing_from_outside(page: str) -> None:
    links = Links()
    links.feed(page)
    assert links.open == []
    assert links.sources and all(source.startswith("data:") for source in links.sources)
    assert "http" not in page and "@import" not in page and "<script" not in page


def test_text_from_outside_is_escaped(page: str) -> None:
    assert "a &lt;b&gt;bold&lt;/b&gt; name" in page and "name: &lt;script&gt;" in page


def test_figures_of_all_three_drives_stand_side_by_side(page: str) -> None:
    row = re.search(r'<tr><th scope="row">Head PSNR.*?</tr>', page)
    assert row and re.findall(r"<td[^>]*>([^<]*)</td>", row[0]) == ["28.93", "29.50", "27.40"]
    shifted = re.search(r'<tr><th scope="row">Lip correlation, audio shifted.*?</tr>', page)
    assert shifted and re.findall(r"<td[^>]*>([^<]*)</td>", shifted[0]) == ["0.200", "–", "–"]
    assert "New figure" in page and "3.250" in page, "a figure without an explanation is still shown"


def test_the_pose_protocol_and_the_counts_are_stated(page: str) -> None:
    assert "Pose protocol" in page and "landmarks" in page and "161" in page and "12000" in page


def test_frames_are_carried_in_their_colours(page: str) -> None:
    images = re.findall(r'<img alt="(\w+) frame" src="data:image/jpeg;base64,([^"]+)"', page)
    assert [name for name, _ in images] == ["real", "rendered"]
    for (_, data), wanted in zip(images, [(200, 40, 40), (40, 40, 200)], strict=True):
        decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.abs(decoded.mean(axis=(0, 1)) - wanted).max() < 4


def test_the_video_is_carried_whole(page: str) -> None:
    found = re.search(r'src="data:video/mp4;base64,([^"]+)"', page)
    assert found and base64.b64decode(found[1]) == b"not decoded, only carried"


def test_stage_times_add_up(page: str) -> None:
    assert "12.3 s" in page and "4 min 5 s" in page and "4 min 17 s in all" in page


def test_a_page_of_nothing_is_still_a_page(tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", title="x", metrics={}, curves={}, pairs=[], video=None, stages={}, config_yaml="")
    links = Links()
    links.feed((tmp_path / "r.html").read_text())
    assert links.open == [] and links.sources == []


def test_page_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="writable"):
        write_report(
            tmp_path / "file" / "r.html", title="x", metrics={}, curves={}, pairs=[], video=None, stages={},
            config_yaml="",
        )  # fmt: skip


def test_rows_start_with_the_figures_that_have_a_name() -> None:
    assert rows(METRICS) == ["psnr_head", "lmd", "lip_r", "lip_r_shifted", "new_figure"]
    table = metrics_table(METRICS)
    assert len(table.columns) == 4 and table.row_count == 5


@pytest.mark.parametrize(("frames", "seconds", "short"), [(161, "6.4", False), (75, "3.0", False), (18, "0.7", True)])
def test_a_short_stretch_is_said_to_tell_little_of_the_lips(
    frames: int, seconds: str, short: bool, tmp_path: Path
) -> None:
    metrics = METRICS | {"held_out_frames": frames}
    write_report(
        tmp_path / "r.html", title="x", metrics=metrics, curves={}, pairs=[], video=None, stages={}, config_yaml=""
    )
    for told in ((tmp_path / "r.html").read_text(), str(metrics_table(metrics).title)):
        assert f"last {seconds} seconds" in told
        assert ("bench lips" in told) == short


def test_facts_leave_the_drives_out() -> None:
    found = dict(facts(METRICS | {"times": [1.5, 2], "refined": True}))
    assert found["Gaussians: face"] == "12000" and found["Times"] == "1.5, 2" and found["Refined"] == "yes"
    assert not any("audio" in name.lower() for name in found)


def test_stages_are_shown_as_they_ran(tmp_path: Path) -> None:
    stages = {"landmarks": 3.0, "head": 1.0, "training": 9.0, "avatar": 0.1}
    write_report(
        tmp_path / "r.html", title="x", metrics={}, curves={}, pairs=[], video=None, stages=stages, config_yaml=""
    )
    rows = re.findall(r"<tr><td>(\w+)</td>", (tmp_path / "r.html").read_text())
    assert rows == list(stages)
