"""The whole road on a clip of a person who does not exist, whose sound was recorded too early: interrupted, killed,
continued, evaluated, spoken."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch

import gaussavatar
from gaussavatar.audio.offset import EARLY_MS, LATE_MS
from gaussavatar.bench.views import bench_covered
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.cli.main import run
from gaussavatar.evaluate.faces import measure_faces
from gaussavatar.evaluate.metrics import psnr
from gaussavatar.fitting import speech
from gaussavatar.fitting.pace import expected_pace, measured_pace
from gaussavatar.fitting.plan import ClipFacts, costs_of, fitted_into
from gaussavatar.fitting.preparation import Job
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.fitting.reenact import reenacted
from gaussavatar.fitting.request import FitRequest
from gaussavatar.fitting.training import open_prepared
from gaussavatar.landmarks.face_mesh import quiet_stderr
from gaussavatar.media.frames import read_frames
from gaussavatar.media.images import read_image
from gaussavatar.media.probe import probe
from gaussavatar.media.sound_file import read_audio
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS
from gaussavatar.progress import QuietProgress
from gaussavatar.quality.alignment import SoundRecord, load_sound_record
from gaussavatar.quality.records import load_quality
from gaussavatar.statistics import correlation
from gaussavatar.storage import read_arrays
from gaussavatar.synthetic.actor import ActorTruth, make_actor_clip
from gaussavatar.synthetic.voice import make_voice_sentence
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.tracking.head.signals import fitted_weights
from gaussavatar.tracking.head.track import load_head_track
from gaussavatar.tracking.poses.fit import load_tracking
from gaussavatar.training.layout import FitLayout
from tests.e2e.shifted import RECIPE, lag_under_another_voice, placed, recorded
from tests.gpu.started import check

pytestmark = pytest.mark.slow
"""Draws a clip of 14 seconds, fits it, and trains it once more: about two minutes."""

SECONDS, SIZE, SEED = 14.0, 256, 3
EARLY_BY = 160
"""Milliseconds that the fitted clip's sound comes before its pictures: all that is asked of the avatar holds too."""
EXAMPLE = Path(__file__).parents[2] / "examples" / "01_fit_a_clip.py"
PATIENCE = 420
"""Seconds after which a fit counts as stuck; nothing is asserted about its speed."""


@pytest.fixture(scope="module")
def actor(tmp_path_factory: pytest.TempPathFactory) -> ActorTruth:
    return make_actor_clip(tmp_path_factory.mktemp("clip"), SECONDS, SEED, SIZE)


@pytest.fixture(scope="module")
def clip(actor: ActorTruth) -> Path:
    return recorded(actor.video, actor.video.parent, -EARLY_BY)


def start_fit(clip: Path, out: Path) -> subprocess.Popen[str]:
    words = ["-m", "gaussavatar.cli", "fit", str(clip), "--out", str(out), "--recipe", str(RECIPE)]
    return start(*words, "--subject", "me", "--consent", "self")


def start(*words: str) -> subprocess.Popen[str]:
    # A shell that runs the tests in the background ignores SIGINT, and its children would inherit that.
    return subprocess.Popen(
        [sys.executable, *words],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a running fit has written ``path``."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert process.poll() is None, f"the fit ended before it wrote {path.name}:\n{process.communicate()[1]}"
        assert time.monotonic() < deadline, f"no {path.name} after {PATIENCE} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def story(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Ctrl-C while the video is prepared, a kill during training, then the same command until it is done."""
    out = tmp_path_factory.mktemp("avatars") / "actor"
    first = start_fit(clip, out)
    wait_for(out / "capture" / "landmarks.safetensors", first)
    first.send_signal(signal.SIGINT)
    _, interrupted = first.communicate(timeout=PATIENCE)
    second = start_fit(clip, out)
    wait_for(out / "train" / "checkpoint.safetensors", second)
    second.kill()
    second.communicate()
    left = sorted(path.name for path in out.iterdir())
    third = start_fit(clip, out)
    shown, told = third.communicate(timeout=PATIENCE)
    assert third.returncode == 0, told
    return {"avatar": out, "first": (first.returncode, interrupted), "left": left, "shown": shown, "told": told}


def test_a_plan_goes_by_what_the_clips_own_steps_take(story: dict, clip: Path) -> None:
    request = FitRequest(clip, story["avatar"], str(RECIPE))
    job = Job(request, load_recipe(request.recipe), FitLayout(story["avatar"]), QuietProgress())
    expected = expected_pace(job.config.image_size, 1e6)
    pace = measured_pace(job, torch.device("cpu"), expected)
    # Days were expected, and none of that is left of what was timed.
    assert 0 < pace.still < 100 and 0 < pace.step < 100 and pace.voice == 0 and pace.heard == expected.heard
    facts, steps = ClipFacts(round(25 * SECONDS), 0.1, 0.2), replace(pace, heard=0.0, end=0.0, figure=0.0)
    costs = costs_of(job.config, facts, steps, prepared=True)
    plan = fitted_into(0.5 * sum(costs.values()), job.config, facts, steps, prepared=True)
    assert 0.4 < plan.share < 0.5 and load_recipe(request.recipe, plan.lengths).torso.iterations < 40


def test_audio_networks_are_kept_by_what_they_heard_and_are_to_say(
    story: dict, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("trained anew")

    monkeypatch.setattr(speech, "pretrain_encoder", trained)
    request = FitRequest(clip, story["avatar"], str(RECIPE), ("model.mouth.count=77",))
    layout, cpu = FitLayout(story["avatar"]), torch.device("cpu")
    job = Job(request, load_recipe(request.recipe, request.overrides), layout, QuietProgress())
    prepared = open_prepared(job)
    networks = speech.speech_networks(job, cpu, prepared.heard, prepared.clip, prepared.closed)
    written = read_arrays(layout.encoder("best"))[0]
    assert all(np.array_equal(written[name], value) for name, value in networks.best.state_dict().items())
    fewer = replace(prepared.clip, n_train=prepared.clip.n_train - 1)
    other = replace(job, request=replace(request, seed=request.seed + 1))
    for asked, shown in ((job, fewer), (other, prepared.clip)):
        with pytest.raises(RuntimeError, match="trained anew"):
            speech.speech_networks(asked, cpu, prepared.heard, shown, prepared.closed)


@pytest.mark.long
def test_the_first_example_undisturbed_makes_the_same_bytes(story: dict, clip: Path, tmp_path: Path) -> None:
    """Long: a whole training. In the usual run killed training comes to the same bytes at unit size."""
    # The capture is the same by its keys; everything from training on is done anew, by a process of its own.
    again = tmp_path / "actor"
    shutil.copytree(story["avatar"] / "capture", again / "capture")
    manifest = again / "capture" / "manifest.json"
    stages = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({name: stages[name] for name in stages if name not in ("training", "evaluation")}))
    process = start(str(EXAMPLE), str(clip), str(again), str(RECIPE))
    shown, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, told
    assert re.match(rf"avatar: {again}\nhead: \d\d\.\d dB, lips follow with r = 0\.\d\d\nreport: .*html\n$", shown)
    assert "training: static" in told and "audio pre-training" in told
    names = sorted(path.name for path in story["avatar"].glob("*.*") if path.is_file())
    assert {"avatar.safetensors", "track.safetensors", "torso.safetensors"} <= set(names)
    for name in names:
        assert (again / name).read_bytes() == (story["avatar"] / name).read_bytes(), name


@pytest.fixture(scope="module")
def metrics(story: dict) -> dict:
    return json.loads((story["avatar"] / "report" / "metrics.json").read_text())


def test_ctrl_c_is_answered_in_one_line(story: dict) -> None:
    code, told = story["first"]
    assert code == 130 and "Traceback" not in told
    assert told.rstrip().splitlines()[-1] == "interrupted; nothing is lost, the same command continues from here"


def test_a_killed_fit_left_no_avatar_that_looks_finished(story: dict) -> None:
    assert "avatar.json" not in story["left"] and "report" not in story["left"]


def test_the_same_command_continued(story: dict) -> None:
    for stage in ("capture", "landmarks", "tracking", "masks"):
        assert f"{stage}: kept from before" in story["told"]
    assert "training: static: done" in story["told"] or "training: motion: done" in story["told"]
    lines = (story["avatar"] / "train" / "metrics.jsonl").read_text().splitlines()
    steps = [(entry["stage"], entry["step"]) for entry in map(json.loads, lines)]
    assert len(steps) == len(set(steps)) and {stage for stage, _ in steps} == {
        "static", "motion", "joint", "torso",
    }  # fmt: skip
    assert not list(story["avatar"].rglob("*.part*"))


def test_the_command_ends_with_the_figures_and_where_things_are(story: dict) -> None:
    for words in ("Head PSNR", "By audio", "Oracle", "Static", "avatar:", "report:", "next:"):
        assert words in story["shown"]


def test_the_tracked_heads_are_where_the_actor_held_them(story: dict, actor: ActorTruth) -> None:
    truth = actor
    tracking = load_tracking(story["avatar"] / "capture" / "tracking.safetensors")
    used = tracking.valid
    turns = tracking.R_camera_head @ tracking.R_camera_head[0].T
    wanted = truth.R_camera_head @ truth.R_camera_head[0].T
    cosine = (np.einsum("nij,nij->n", turns, wanted) - 1) / 2
    assert np.degrees(np.arccos(np.clip(cosine[used], -1, 1))).mean() < 2.0


def test_the_talking_avatar_beats_its_own_still_face(metrics: dict) -> None:
    audio, static, oracle = metrics["audio"], metrics["static"], metrics["oracle"]
    assert audio["psnr_mouth"] > static["psnr_mouth"] + 3
    # On a clip this short what the sound does not tell costs the head about as much as talking gains it.
    assert audio["psnr_head"] > static["psnr_head"] - 0.2
    assert oracle["psnr_head"] > static["psnr_head"] + 1
    assert audio["lmd"] < 0.75 * static["lmd"]
    assert oracle["psnr_mouth"] > audio["psnr_mouth"] and oracle["lmd"] < audio["lmd"]
    assert oracle["psnr_head"] > 28 and oracle["ssim_full"] > 0.95


def test_the_lips_follow_the_sound_and_not_a_shifted_one(metrics: dict) -> None:
    audio = metrics["audio"]
    assert audio["lip_r"] > 0.6
    assert audio["lip_r_shifted"] < audio["lip_r"] - 0.35
    assert audio["lip_r_drop"] == pytest.approx(audio["lip_r"] - audio["lip_r_shifted"], abs=2e-4)
    assert 0.6 < audio["aperture_std_ratio"] < 1.4
    assert metrics["oracle"]["lip_r"] > 0.9
    assert metrics["static"]["lip_r"] < 0.4, "a face that does not talk must not seem to"


@pytest.fixture(scope="module")
def own(actor: ActorTruth, story: dict, tmp_path_factory: pytest.TempPathFactory) -> float:
    """What is found on the clip with its sound as the actor spoke, ms."""
    record = placed(actor.video, tmp_path_factory.mktemp("own") / "avatar", FitLayout(story["avatar"]).capture)
    assert record.found is not None and record.found.sure and record.moved_ms == 0
    return record.found.milliseconds


def check_found(record: SoundRecord, own: float, late_ms: int) -> None:
    assert record.found is not None
    assert record.found.milliseconds == pytest.approx(own + late_ms, abs=20)
    assert not -EARLY_MS < record.found.milliseconds < LATE_MS and record.moved_ms == record.found.milliseconds


def test_sound_that_comes_late_is_moved(actor: ActorTruth, story: dict, own: float, tmp_path: Path) -> None:
    late = recorded(actor.video, tmp_path, 100)
    check_found(placed(late, tmp_path / "avatar", FitLayout(story["avatar"]).capture), own, 100)


def test_an_avatar_is_free_of_sound_that_came_early(story: dict, own: float, tmp_path: Path) -> None:
    layout = FitLayout(story["avatar"]).capture
    record = load_sound_record(layout.folder)
    check_found(record, own, -EARLY_BY)
    assert any(line.startswith("sound: it came") and "moved into step" in line for line in story["told"].splitlines())
    quality = load_quality(layout.folder)
    assert quality.figures["av_offset_moved_ms"] == pytest.approx(record.moved_ms, abs=0.001)
    assert any("was moved into step" in finding.found for finding in quality.findings)
    assert "moved into step" in layout.quality_page.read_text()
    assert "sound" in json.loads(layout.manifest.read_text())
    lag = lag_under_another_voice(story["avatar"], tmp_path)
    assert lag == pytest.approx(quality.figures["av_offset_ms"], abs=20)


def test_the_lids_follow_the_video(metrics: dict) -> None:
    assert metrics["audio"]["blink_r"] > 0.85


def test_the_avatar_brings_a_map_from_curves_of_faces(story: dict) -> None:
    """The clip's own coefficients, through the map, open the mouth as the clip's mouth opens."""
    avatar = gaussavatar.load_avatar(story["avatar"])
    assert avatar.loaded.arkit is not None
    track = load_head_track(story["avatar"] / "capture")
    motion = load_motion(story["avatar"] / "capture" / "motion.safetensors")
    weights = fitted_weights(track)
    curves = gaussavatar.ArkitCurves(np.clip(weights - np.median(weights, axis=0), 0, 1), 25.0)
    opened = avatar.motion_from(curves).mouth_codes @ avatar.loaded.mouth_open_direction
    assert correlation(opened.astype(float), motion.aperture.astype(float)) > 0.8
    back = avatar.curves_of(avatar.filmed)
    assert back.values.max() <= 1 and back.values[:, ARKIT_EXPRESSIONS.index("jawOpen")].std() > 0.01


def test_a_person_re_enacts_themselves(story: dict) -> None:
    """The clip's own face, through the shapes and back, opens the mouth and shuts the lids as it did."""
    avatar, capture = gaussavatar.load_avatar(story["avatar"]).loaded, CaptureLayout(story["avatar"] / "capture")
    track, motion = reenacted(avatar, capture), load_motion(capture.motion)
    opened = (track.mouth_codes @ avatar.mouth_open_direction).astype(float)
    assert correlation(opened, motion.aperture.astype(float)) > 0.8
    lid = avatar.upper_names.index("blink_left")
    assert correlation(track.upper[:, lid].astype(float), motion.upper[:, lid].astype(float)) > 0.95


def test_evaluate_finds_the_same_figures_and_saves_the_frames_it_measured(
    story: dict, metrics: dict, tmp_path: Path
) -> None:
    words = ["evaluate", story["avatar"], "--save-frames", tmp_path / "frames", "--speech", "--blocks", "0"]
    assert run([str(word) for word in words]) == 0
    again = json.loads((story["avatar"] / "report" / "metrics.json").read_text())
    for drive in ("audio", "oracle", "static"):
        # The detector does not repeat itself to the last digit, which a second difference shows most.
        assert again[drive] == pytest.approx(metrics[drive], abs=6e-3)
    rendered = sorted((tmp_path / "frames").glob("rendered_*.png"))
    real = sorted((tmp_path / "frames").glob("real_*.png"))
    assert len(rendered) == len(real) == metrics["held_out_frames"]
    assert [path.name.split("_")[1] for path in rendered] == [path.name.split("_")[1] for path in real]
    figures = [psnr(read_image(a), read_image(b)) for a, b in zip(rendered, real, strict=True)]
    assert np.mean(figures) == pytest.approx(metrics["audio"]["psnr_full"], abs=0.02)
    speech = again["speech"]
    assert speech["codes"]["aperture_r"] > 0.5
    assert abs(speech["rendered"]["oracle"]["lag_frames"]) < 0.5
    assert speech["rendered"]["oracle"]["units"]["lower"] < speech["rendered"]["static"]["units"]["lower"]
    assert speech["voices"]["agreement_demo"] > 0.5 > speech["voices"]["agreement_demo_chance"]


def test_the_report_shows_the_figures(story: dict, metrics: dict) -> None:
    page = (story["avatar"] / "report" / "report.html").read_text()
    assert f"{metrics['audio']['psnr_head']:.2f}" in page and "data:video/mp4;base64," in page
    assert page.count("data:image/jpeg;base64,") >= 8 and "<polyline" in page


def test_the_avatar_is_portable_and_says_whose_it_is(story: dict, clip: Path) -> None:
    header = (story["avatar"] / "avatar.json").read_text()
    assert {"subject": "me", "consent": "self", "synthetic": True}.items() <= json.loads(header).items()
    assert str(clip.parent) not in header and str(story["avatar"].parent) not in header


@pytest.fixture(scope="module")
def spoken(story: dict, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A sentence that was in no clip, two seconds of silence after it, and the video of it."""
    folder = tmp_path_factory.mktemp("spoken")
    make_voice_sentence(folder / "sentence.wav", 7, 4.0)
    waveform = read_audio(folder / "sentence.wav")
    import soundfile

    samples = np.concatenate([waveform.samples, np.zeros(2 * waveform.rate, np.float32)])
    soundfile.write(folder / "said.wav", samples, waveform.rate)
    video = folder / "said.mp4"
    words = ["speak", "--audio", folder / "said.wav", "--avatar", story["avatar"], "--out", video]
    assert run([str(word) for word in words]) == 0
    return folder / "said.wav", video


def test_the_video_is_as_long_as_the_sound_and_marked(spoken: tuple[Path, Path]) -> None:
    sound, video = spoken
    facts = probe(video)
    assert facts.has_audio and facts.width == facts.height == 112
    assert abs(facts.seconds - read_audio(sound).seconds) <= 1 / 25
    heard = read_audio(video).samples[: 4 * 16_000]
    assert np.corrcoef(heard, read_audio(sound).samples[: len(heard)])[0, 1] > 0.9
    assert b"AI-generated" in video.read_bytes()


def test_it_speaks_and_falls_silent(spoken: tuple[Path, Path]) -> None:
    images = np.stack(list(read_frames(spoken[1], width=112, height=112)))
    with quiet_stderr():
        aperture = measure_faces(images).aperture
    assert np.isfinite(aperture).mean() > 0.95, "the face stays a face"
    speech, silence = aperture[5:95], aperture[112:145]
    assert np.nanstd(speech) > 0.03
    assert np.nanmean(silence) < 0.05 and np.nanmean(silence) < 0.5 * np.nanmean(speech)
    assert np.nanstd(silence) < 0.4 * np.nanstd(speech)


def test_the_torso_of_gaussians_is_where_the_filmed_one_is(
    story: dict, spoken: tuple[Path, Path], tmp_path: Path
) -> None:
    video = tmp_path / "torso.mp4"
    words = ["speak", "--audio", spoken[0], "--avatar", story["avatar"], "--torso", "gaussians", "--out", video]
    assert run([str(word) for word in words]) == 0
    drawn, filmed = (next(iter(read_frames(path, width=112, height=112)))[84:] for path in (video, spoken[1]))
    assert not np.array_equal(drawn, filmed) and psnr(drawn, filmed) > 22
    plate = read_image(story["avatar"] / "plate.png")[84:]
    assert psnr(drawn, filmed) > psnr(plate, filmed) + 5, "shoulders are there"


def test_head_and_shoulders_cover_the_tracked_ones_from_the_side(story: dict) -> None:
    covered = bench_covered(story["avatar"], frames=1)
    assert covered["yaw 0, head covered"] > 0.85 and covered["yaw 30, head covered"] > 0.7
    assert covered["yaw 0, neck covered"] > 0.5 and covered["yaw 30, neck covered"] > 0.5


def test_the_avatar_alone_is_enough_to_speak(story: dict, spoken: tuple[Path, Path], tmp_path: Path) -> None:
    alone = tmp_path / "moved"
    alone.mkdir()
    for path in story["avatar"].iterdir():
        if path.is_file():
            shutil.copy(path, alone)
    assert run(["speak", "--audio", str(spoken[0]), "--avatar", str(alone), "--out", str(tmp_path / "a.mp4")]) == 0
    assert abs(probe(tmp_path / "a.mp4").seconds - probe(spoken[1]).seconds) < 0.01


def test_the_avatar_carries_a_light_network_which_has_a_share_in_the_best_ones_answer(
    story: dict, spoken: tuple[Path, Path]
) -> None:
    sound = read_audio(spoken[0])
    best, light = (gaussavatar.load_avatar(story["avatar"], features=name) for name in ("best", "light"))
    record = best.record
    assert record.encoder.features == ("mel",) and record.light is not None and record.light_share == 0.3
    assert record.light.features == ("mel", "viseme")
    both, alone = best.motion_for(sound).mouth_codes, light.motion_for(sound).mouth_codes
    assert both.shape == alone.shape and not np.allclose(both, alone)
    opening = [codes[5:95] @ np.linalg.pinv(best.loaded.mouth_open_direction[:, None])[0] for codes in (both, alone)]
    assert np.corrcoef(opening)[0, 1] > 0.5
    video = spoken[1].with_name("light.mp4")
    words = ["speak", "--audio", spoken[0], "--avatar", story["avatar"], "--features", "light", "--out", video]
    assert run([str(word) for word in words]) == 0 and video.stat().st_size > 10_000


@pytest.mark.long
@pytest.mark.parametrize("ffmpeg", [True, False])
def test_the_device_check_makes_an_avatar_of_a_prepared_capture(ffmpeg: bool, story: dict, tmp_path: Path) -> None:
    """Long: a few steps of ``default`` on what the fit prepared. A GPU machine may lack ffmpeg."""
    capture = story["avatar"] / "capture"
    one = ("--only", "capture", "--skip", "quality", "--capture", str(capture))
    words = ("--device", "cpu", "--small", "--scale", "0.01", *one)
    variables = {} if ffmpeg else {"GAUSSAVATAR_FFMPEG": "no-such-program"}
    before = sorted((path.relative_to(capture), path.stat().st_mtime_ns) for path in capture.rglob("*"))
    done, results = check(tmp_path, *words, **variables)
    found = results["capture"]
    assert found["state"] == "ok" and done.returncode == 0, (found, (tmp_path / "log.txt").read_text()[-3000:])
    assert (found["figures"]["videos"]["ffmpeg"] is not None) == ffmpeg
    assert found["figures"]["audio"]["psnr_head"] > 12 and found["figures"]["plays 256 px x1"]["per_second"] > 0
    assert read_image(tmp_path / "capture-default.png").shape == (224, 448, 3)
    after = sorted((path.relative_to(capture), path.stat().st_mtime_ns) for path in capture.rglob("*"))
    assert before == after, "the capture folder is read only"
