"""The ablation table: rows load, captures are shared and not changed, a bad name is refused, the page says how."""

import json
from pathlib import Path

import pytest

from gaussavatar.bench import ablations
from gaussavatar.bench.ablations import (
    COLUMNS,
    chosen_variants,
    link_capture,
    link_networks,
    load_variants,
    summarise,
    write_table,
)
from gaussavatar.errors import UserError
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.progress import QuietProgress


def test_every_row_is_a_valid_change_of_the_preview_recipe() -> None:
    base = load_recipe("preview")
    variants = load_variants()
    assert len({variant.slug for variant in variants}) == len(variants)
    assert load_recipe("preview", variants[0].set) == base
    assert all(load_recipe("preview", variant.set) != base for variant in variants[1:])


def test_the_base_is_always_among_the_chosen() -> None:
    names = [variant.name for variant in load_variants()]
    assert [v.name for v in chosen_variants((names[2],))] == [names[0], names[2]]
    with pytest.raises(UserError, match="tri-plain"):
        chosen_variants(("tri-plain",))


def test_a_linked_capture_shares_frames_and_not_its_marks(tmp_path: Path) -> None:
    capture = tmp_path / "a" / "capture"
    capture.mkdir(parents=True)
    (capture / "frames.u8").write_bytes(b"frames")
    (capture / "manifest.json").write_text(json.dumps({"capture": {"key": "x"}, "training": {"key": "y"}}))
    link_capture(tmp_path / "a", tmp_path / "b")
    linked = tmp_path / "b" / "capture"
    assert (linked / "frames.u8").samefile(capture / "frames.u8")
    assert not (linked / "manifest.json").samefile(capture / "manifest.json")
    assert list(json.loads((linked / "manifest.json").read_text())) == ["capture"]
    (linked / "manifest.json").write_text("{}")
    link_capture(tmp_path / "a", tmp_path / "b")
    assert (linked / "manifest.json").read_text() == "{}"


def test_a_variant_is_lent_what_the_base_has_heard_once(tmp_path: Path) -> None:
    train = tmp_path / "base_0" / "train"
    train.mkdir(parents=True)
    for name in ("voices", "encoder_best", "checkpoint"):
        (train / f"{name}.safetensors").write_bytes(name.encode())
    link_networks(tmp_path / "base_0", tmp_path / "other_0")
    lent = tmp_path / "other_0" / "train"
    assert sorted(path.name for path in lent.iterdir()) == ["encoder_best.safetensors", "voices.safetensors"]
    (lent / "voices.safetensors").unlink()
    link_networks(tmp_path / "base_0", tmp_path / "other_0")
    assert not (lent / "voices.safetensors").exists(), "a fit that was begun keeps what it has"


def test_the_page_has_a_line_per_row_and_its_command(tmp_path: Path) -> None:
    names = [variant.name for variant in load_variants()][:2]
    figures = {title: 1.0 for title, *_ in COLUMNS} | {"minutes": 2.0, "Gaussians": 10.0}
    rows = {name: {"about": "why", **summarise([figures, {**figures, "head": 3.0}])} for name in names}
    write_table(tmp_path / "t.md", rows, "clip.mp4", "preview", ("model.face.count=5",), 2)
    text = (tmp_path / "t.md").read_text()
    assert f"| {names[1]} | 2.00 | 1.00 |" in text
    assert "--set model.face.count=5 --seeds 2" in text
    assert "half the range of a row's seeds, the mean of all rows: head 1.00, full 0.00" in text


def test_changes_for_all_rows_come_before_each_row_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = []
    monkeypatch.setattr(ablations, "fit", lambda request, _: sets.append(request.overrides))
    monkeypatch.setattr(ablations, "link_capture", lambda *_: None)
    monkeypatch.setattr(ablations, "link_networks", lambda *_: None)
    monkeypatch.setattr(ablations, "_figures", lambda _: {title: 1.0 for title, *_ in COLUMNS})
    ours = ("model.face.count=7000",)
    ablations.run_ablations(tmp_path / "v.mp4", tmp_path, "preview", ours, 1, ("no shading",), None, QuietProgress())
    assert sets == [ours, (*ours, "model.shading=false")]
