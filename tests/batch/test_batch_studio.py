"""A studio's batch on two nodes, one of which dies in the middle: six fits, and twelve lines that wait for them."""

from __future__ import annotations

import importlib.util
import shutil
from collections import Counter
from pathlib import Path

import pytest

from gaussavatar.avatar.load import load_avatar
from gaussavatar.media.probe import probe
from gaussavatar.synthetic.actor import make_actor_clip
from gaussavatar.synthetic.voice import make_voice_sentence
from tests.batch.cluster import at_work, cluster, start, wait_for
from tests.e2e.shifted import RECIPE

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra cluster"),
]
"""Draws two clips of six seconds and fits each of them three times: ten minutes of two cores."""

FITS, LINES, SECONDS = 6, 12, 6.0
STEPS = {"static": 40, "motion": 80, "joint": 40}
SHORTER = " ".join(
    ["audio.steps=40", "audio.fold_steps=20", "torso.enabled=false", "model.face.count=1500"]
    + [f"training.stages.{name}.iterations={count}" for name, count in STEPS.items()]
)


def written_jobs(folder: Path) -> Path:
    """Clips, sounds, and the rows about them; the lines come before the fits that they wait for."""
    for seed in (3, 4):
        made = make_actor_clip(folder / f"drawn{seed}", SECONDS, seed, 256)
        shutil.copy(made.video, folder / f"clip{seed}{made.video.suffix}")
    ending = made.video.suffix
    for number in range(3):
        make_voice_sentence(folder / f"line{number}.wav", 500 + number, 3.0)
    rows = ["verb,video,recipe,set,seed,subject,consent,avatar,audio,out"]
    rows += [f"speak,,,,,,,avatars/a{n % FITS},line{n % 3}.wav,talks/t{n}.mp4" for n in range(LINES)]
    rows += [f"fit,clip{3 + n % 2}{ending},{RECIPE},{SHORTER},{n},nobody,made up,,,avatars/a{n}" for n in range(FITS)]
    path = folder / "jobs.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_node_dies_in_the_middle_of_a_studios_day(tmp_path: Path) -> None:
    jobs = written_jobs(tmp_path)
    with cluster() as (address, (_, second)):
        run = start(jobs, "--address", address)
        # Two fits are done, and both nodes are at work on others.
        wait_for(lambda: len(run.done()) >= 2 and len(run.ready()) == 2, patience=1500)
        second.kill()
        code, told = run.ended()
    print(told)
    assert code == 0 and "again, for its node died" in told, told
    assert Counter(run.done()) == Counter([f"fit-a{n}" for n in range(FITS)] + [f"speak-t{n}" for n in range(LINES)])
    for number in range(FITS):
        assert load_avatar(tmp_path / "avatars" / f"a{number}").record.subject == "nobody"
    names = sorted(path.name for path in (tmp_path / "talks").iterdir())
    assert names == sorted(f"t{n}.mp4" for n in range(LINES))
    for name in names:
        sound = tmp_path / f"line{int(name[1:-4]) % 3}.wav"
        assert probe(tmp_path / "talks" / name).seconds == pytest.approx(probe(sound).seconds, abs=0.05)
    attempts = {line["done"]: line["attempt"] for line in run.journal() if "done" in line}
    assert max(attempts.values()) == 2 and sum(attempts.values()) <= len(attempts) + 2
    assert not at_work(tmp_path)
