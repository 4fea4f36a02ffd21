from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gaussavatar.bench.lips_table import capture_of, format_lips, lips_rows, paired_difference, summarise_lips
from gaussavatar.errors import UserError
from gaussavatar.fitting.recipe import load_recipe


def record(clip: str, row: str, seed: int, r: list[float]) -> dict:
    same = {"width_r": 0.5, "drop": 0.4, "std_ratio": 0.9, "lmd_still": 1.35}
    blocks = [{"aperture_r": x, "lmd": 2.0 - x, **same} for x in r]
    whole = {
        "closure_recall": 0.8,
        "false_closures": 0.2,
        "closed_share": 0.3,
        "closed_share_real": 0.37,
        "lag_frames": 0.1,
    }
    return {"clip": clip, "row": row, "seed": seed, "blocks": blocks, **whole}


def test_a_paired_difference_is_the_mean_over_blocks_with_the_error_of_that_mean() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(0.6, 0.2, 11)  # Blocks differ by far more than the rows do.
    gain = np.array([0.04, 0.06] * 5 + [0.05])
    found = paired_difference([(hard + gain)[None]], [hard[None]])
    assert found.mean == pytest.approx(0.05)
    assert found.error == pytest.approx(gain.std(ddof=1) / np.sqrt(11))
    assert (found.better, found.blocks) == (11, 11)
    assert paired_difference([(hard + gain)[None]], [hard[None]], better=-1).better == 0


def test_seeds_are_averaged_before_the_error_is_taken() -> None:
    base = np.zeros((2, 4))
    noisy = np.array([[0.3, -0.1, 0.3, -0.1], [-0.1, 0.3, -0.1, 0.3]])  # The seeds cancel in every block.
    found = paired_difference([noisy], [base])
    assert found.mean == pytest.approx(0.1) and found.error == pytest.approx(0.0)


def test_clips_count_alike_and_their_errors_add_as_independent_ones_do() -> None:
    short, long = np.array([[0.1, 0.3]]), np.array([[0.0, 0.2, 0.0, 0.2]])
    zero = [np.zeros((1, 2)), np.zeros((1, 4))]
    found = paired_difference([short, long], zero)
    assert found.mean == pytest.approx(0.15)
    single = [x.std(ddof=1) / np.sqrt(x.size) for x in (short, long)]
    assert found.error == pytest.approx(np.hypot(*single) / 2)


def test_the_summary_compares_with_the_first_row_on_every_clip_and_on_all() -> None:
    records = [
        record(clip, row, seed, [0.6 + up + 0.1 * (clip == "b"), 0.7 + up])
        for clip in "ab"
        for row, up in (("mel", 0.0), ("mel,viseme", 0.1))
        for seed in (0, 1)
    ]
    summary = summarise_lips(records)
    assert summary["reference"] == "mel" and len(summary["means"]) == 4
    found = {(d["clip"], d["figure"]): d for d in summary["differences"]}
    assert set(clip for clip, _ in found) == {"a", "b", "all"}
    assert found["all", "aperture_r"]["mean"] == pytest.approx(0.1)
    assert found["all", "lmd"]["mean"] == pytest.approx(-0.1) and found["all", "lmd"]["better"] == 4
    text = format_lips(summary)
    assert "+0.100" in text and "4 of 4" in text and "mean of 2 seeds" in text
    nearer = [(entry["nearer"], entry["blocks"], entry["lmd_still"]) for entry in summary["means"]]
    # Of a's distances 1.4 and 1.3 one is below a still mouth's 1.35, of all others' both are.
    assert nearer == [(1, 2, 1.35), (2, 2, 1.35), (2, 2, 1.35), (2, 2, 1.35)]
    assert "nearer in 1 of 2 blocks than a still mouth, which is 1.350 away" in text


def test_rows_are_features_times_variants_and_wrong_ones_are_refused_before_anything_runs() -> None:
    rows = lips_rows(["mel"], ["", "audio.steps=350 audio.members=1"], ["audio.hidden=24"], "default")
    assert [row.name for row in rows] == ["mel", "mel audio.steps=350 audio.members=1"]
    assert rows[1].recipe("default").audio.steps == 350 and rows[1].recipe("default").audio.hidden == 24
    alone, blend = rows[0].recipe("default").audio, lips_rows(["recipe"], [], [], "default")[0]
    assert alone.light == () and blend.name == "the recipe's"
    assert blend.recipe("default") == load_recipe("default") == lips_rows([], [], [], "default")[0].recipe("default")
    with pytest.raises(UserError, match="did you mean mel"):
        lips_rows(["mel,mell"], [], [], "default")
    with pytest.raises(UserError, match="audio.stebs"):
        lips_rows(["mel"], ["audio.stebs=3"], [], "default")


def test_a_capture_is_found_in_an_avatar_and_by_itself(tmp_path: Path) -> None:
    capture = tmp_path / "avatar" / "capture"
    capture.mkdir(parents=True)
    with pytest.raises(UserError, match="tracked lips"):
        capture_of(tmp_path / "avatar")
    for name in ("motion.safetensors", "audio.wav"):
        (capture / name).write_bytes(b"")
    assert capture_of(tmp_path / "avatar").folder == capture == capture_of(capture).folder
