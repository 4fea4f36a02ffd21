"""The frame of every page: whole, self-contained, and escaped."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.pages.page import chart_cards, fact_list, inline_jpeg, inline_video, section, write_page


def test_a_page_has_its_parts_in_order_and_escapes_its_title(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    write_page(
        path, title="<b>", kind="test", above="over", below="<p>under</p>", style="i{color:red}", note="Said.",
        sections=[section("One & two", "<p>first</p>"), section("Three")],
    )  # fmt: skip
    page = path.read_text()
    assert "<title>&lt;b&gt; · test</title>" in page and "i{color:red}</style>" in page
    order = [
        "over",
        "<h1>&lt;b&gt;</h1>",
        "<p>under</p>",
        "<h2>One &amp; two</h2><p>first</p>",
        "<h2>Three</h2>",
        "Said.",
    ]
    places = [page.index(part) for part in order]
    assert places == sorted(places)


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="writable"):
        write_page(tmp_path / "file" / "page.html", title="x", kind="x", above="x", sections=[])


def test_facts_are_escaped_and_charts_without_points_left_out() -> None:
    assert fact_list([("a<", "&")]) == "<dl><dt>a&lt;</dt><dd>&amp;</dd></dl>"
    assert chart_cards([("none", "", "words")]) == ""
    cards = chart_cards([("one", "<svg></svg>", "w<"), ("none", "", ""), ("two", "<svg></svg>", "")])
    assert cards.count("<svg>") == 2 and "<span>w&lt;</span>" in cards and "none" not in cards


def test_pictures_and_videos_are_carried_unless_they_are_too_large(tmp_path: Path) -> None:
    address = inline_jpeg(np.full((16, 16, 3), (200, 40, 40), np.uint8), 90)
    data = np.frombuffer(base64.b64decode(address.split(",")[1]), np.uint8)
    assert np.abs(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].mean((0, 1)) - (200, 40, 40)).max() < 4
    video = tmp_path / "a.mp4"
    video.write_bytes(b"12345")
    assert inline_video(video, 4) is None
    assert base64.b64decode((inline_video(video, 5) or "").split(",")[1]) == b"12345"
