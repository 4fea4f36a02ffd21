"""The torso branch: it follows slow head motion, is fitted to the torso frames alone, and is drawn where it belongs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gaussavatar.avatar.torso import LoadedTorso
from gaussavatar.evaluate.publish import training_curves
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.media.images import read_image
from gaussavatar.model.torso import Torso, blank_torso, slow_motion
from gaussavatar.progress import QuietProgress
from gaussavatar.render.api import get_rasterizer
from gaussavatar.storage import FrameStore, frame_writer
from gaussavatar.tracking.head.track import HeadTrack
from gaussavatar.training import head_task, loop, torso_branch
from gaussavatar.training import torso_task as torso_task_module
from gaussavatar.training.checkpoint import NAME, PREVIOUS, Position, read_checkpoint
from gaussavatar.training.config import ProgressConfig, StageConfig, TorsoConfig, TorsoRates, TrainingConfig
from gaussavatar.training.data import Clip, cameras_of
from gaussavatar.training.guards import TrainingError
from gaussavatar.training.loop import train
from gaussavatar.training.torso_task import TorsoTask
from gaussavatar.types import Cameras

from .tiny_runs import keep_poses, make_run

COUNT, SIZE = 44, 64
PLACE = np.array([90, 90, 90], np.uint8)


def shifts() -> np.ndarray:
    """Slow sideways motion of the head in metres, 3 pixels to either side."""
    return 0.0125 * np.sin(np.arange(COUNT) * 2 * np.pi / COUNT)


@pytest.fixture(scope="module")
def clip(tiny_clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """A striped torso that moves with the head above it, whose slow motion it is."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    folder = tmp_path_factory.mktemp("clip")
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(frame_writer(folder / f"{name}.u8", (SIZE, SIZE, channels)))
            for name, channels in (("frames", 3), ("masks", 4), ("under", 3))
        }
        for shift in shifts():
            x = columns - 120 * shift / 0.5
            share = np.clip((rows - 42) / 2, 0, 1) * np.clip((24 - np.abs(x - 32)) / 2, 0, 1)
            cloth = np.where((np.abs(x - 32) < 6)[..., None], (210.0, 60, 60), (30.0, 30, 60))
            under = (PLACE + share[..., None] * (cloth - PLACE)).round().astype(np.uint8)
            head = ((x - 32) / 12) ** 2 + ((rows - 22) / 15) ** 2 < 1
            mouth = ((x - 32) / 4) ** 2 + ((rows - 30) / 2) ** 2 < 1
            frame = under.copy()
            frame[head], frame[mouth] = (200, 150, 120), (60, 20, 20)
            masks = (np.stack([head, mouth, head, np.maximum(head, share)], axis=-1) * 255).round().astype(np.uint8)
            for name, picture in (("frames", frame), ("masks", masks), ("under", under)):
                writers[name].append(picture)
    t = tiny_clip.tracking.t_camera_head.copy()
    t[:, 0] = shifts()
    tracking = replace(tiny_clip.tracking, t_camera_head=t)
    frames, masks, under = (FrameStore(folder / f"{name}.u8") for name in ("frames", "masks", "under"))
    return replace(tiny_clip, frames=frames, masks=masks, under=under, tracking=tracking)


@pytest.fixture(scope="module", autouse=True)
def flat_depth() -> Iterator[None]:
    """The depth comes from a tracked head, which a disc of skin has none of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torso_branch, "shoulder_depth", lambda *_: np.full((SIZE, SIZE), 0.5, np.float32))
        yield


NOBODY = object.__new__(HeadTrack)


def torso_task(config: TorsoConfig, key: str = "torso", seed: int = 0) -> TorsoTask:
    plate = np.broadcast_to(PLACE, (SIZE, SIZE, 3))
    return TorsoTask(config, NOBODY, plate, get_rasterizer("cpu"), seed, key)


HEAD = (StageConfig("static", 4, train=("face", "mouth")), StageConfig("motion", 3))


def fit(
    clip: Clip, folder: Path, config: TorsoConfig | None, key: str = "torso", seed: int = 0, every: int = 3
) -> tuple[dict[str, Tensor], TorsoTask | None]:
    """The head's weights after a few steps, and the torso after all of its own."""
    run = replace(make_run(clip, folder, seed), intervals=ProgressConfig(every, every))
    tasks = () if config is None else (torso_task(config, key, seed),)
    train(run, TrainingConfig(HEAD), keep_poses, QuietProgress(), tasks)
    weights = {n: t.clone() for m in (run.model, run.encoder) for n, t in m.state_dict().items()}
    return weights, tasks[0] if tasks else None


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def read_log(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "steps_per_second"} for line in lines]


@pytest.fixture(scope="module")
def fitted(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> tuple[Torso, Path]:
    folder = tmp_path_factory.mktemp("torso")
    _, task = fit(clip, folder, TorsoConfig(True, 500, 250), every=100)
    assert task is not None
    return task.torso, folder


def errors(clip: Clip, torso, still: bool) -> float:
    """Mean absolute difference from the torso frames, 0..255."""
    motion = slow_motion(clip.tracking.R_camera_head, clip.tracking.t_camera_head, torso.T_base.numpy())
    indices = np.arange(0, COUNT, 5)
    poses = torso.poses(torch.from_numpy(motion[indices] * (0 if still else 1)))
    cameras = Cameras(poses, cameras_of(clip.tracking, indices, SIZE).K, SIZE, SIZE)
    background = torch.full((len(indices), SIZE, SIZE, 3), 90 / 255)
    image = LoadedTorso(torso, poses.numpy()).draw_over(get_rasterizer("cpu"), cameras, background)
    return float(np.abs(image.numpy() * 255 - np.stack([clip.under.read(i) for i in indices.tolist()])).mean())


def test_the_fitted_torso_shows_the_frames_and_moves_with_the_slow_head(clip: Clip, fitted: tuple[Torso, Path]) -> None:
    torso, _ = fitted
    moving, still = errors(clip, torso, False), errors(clip, torso, True)
    assert moving < 4.0, "the frames are reproduced"
    assert moving < 0.75 * still, "because it moves"


def test_no_background_is_learnt(clip: Clip, fitted: tuple[Torso, Path]) -> None:
    torso, _ = fitted
    pose = torso.T_base[None]
    K = cameras_of(clip.tracking, np.arange(1), SIZE).K
    drawn = LoadedTorso(torso, pose.numpy()).draw(get_rasterizer("cpu"), Cameras(pose, K, SIZE, SIZE))
    assert drawn.alpha[0, :34].max() < 0.05 and drawn.alpha[0, 54:, 16:48].min() > 0.9


SHORT = TorsoConfig(True, 200, 8)


@pytest.fixture(scope="module")
def whole(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict, list[dict]]:
    """Weights of head and torso, and the log, of a short run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    head, task = fit(clip, folder, SHORT)
    assert task is not None
    return head, task.torso.state_dict(), read_log(folder)


class _Killed(Exception):
    pass


def kill(monkeypatch: pytest.MonkeyPatch, place: tuple[object, str], call: int) -> None:
    inner, calls = getattr(*place), iter(range(10**6))

    def work(*arguments):  # noqa: ANN002, ANN202
        if next(calls) == call:
            raise _Killed
        return inner(*arguments)

    monkeypatch.setattr(*place, work)


LOSSES = (torso_task_module, "torso_losses")
KILLS = [((torso_branch, "torso_matte"), 3), (LOSSES, 0), (LOSSES, 2), (LOSSES, 7),
         ((loop, "save_checkpoint"), 5), ((loop, "write_image"), 2), ((head_task, "step_loss"), 5)]  # fmt: skip


@pytest.mark.parametrize(("place", "call"), KILLS)
def test_a_torso_that_is_killed_anywhere_goes_on_to_the_same_bytes_and_log(
    clip: Clip, tmp_path: Path, whole: tuple, place: tuple[object, str], call: int
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill(monkeypatch, place, call)
        with pytest.raises(_Killed):
            fit(clip, tmp_path, SHORT)
    with (tmp_path / "metrics.jsonl").open("a") as log:
        log.write('{"stage": "torso", "number": 2, "step": 50}\n{"stage": "to')
    head, task = fit(clip, tmp_path, SHORT)
    assert task is not None
    assert same(head, whole[0]) and same(task.torso.state_dict(), whole[1])
    assert read_log(tmp_path) == whole[2]


def test_the_torso_leaves_the_head_as_it_is(clip: Clip, tmp_path: Path, whole: tuple) -> None:
    head, _ = fit(clip, tmp_path, None)
    assert same(head, whole[0])


def test_a_torso_wished_for_later_is_fitted_without_training_the_head_again(
    clip: Clip, tmp_path: Path, whole: tuple
) -> None:
    fit(clip, tmp_path, None)
    before = (tmp_path / NAME).read_bytes()
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill(monkeypatch, (head_task, "step_loss"), 0)
        head, task = fit(clip, tmp_path, SHORT)
        assert task is not None and same(head, whole[0]) and same(task.torso.state_dict(), whole[1])
        assert read_log(tmp_path) == whole[2]
        # Without a torso again, and with another one: still nothing of the head is trained.
        fit(clip, tmp_path, None)
        _, other = fit(clip, tmp_path, TorsoConfig(True, 100, 3), "other")
    assert other is not None and len(other.torso.gaussians) == 100
    assert (tmp_path / NAME).read_bytes() == before
    assert [line["stage"] for line in read_log(tmp_path)] == ["static", "motion", "torso"]


def test_a_finished_torso_is_not_trained_again(clip: Clip, fitted: tuple[Torso, Path]) -> None:
    torso, folder = fitted
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill(monkeypatch, LOSSES, 0)
        kill(monkeypatch, (torso_branch, "torso_matte"), 0)
        _, again = fit(clip, folder, TorsoConfig(True, 500, 250))
    assert again is not None and same(again.torso.state_dict(), torso.state_dict())


def test_a_torso_begins_anew_where_the_head_does(clip: Clip, tmp_path: Path, whole: tuple) -> None:
    fit(clip, tmp_path, SHORT)
    for name in (NAME, PREVIOUS):
        (tmp_path / name).write_bytes(b"")
    head, task = fit(clip, tmp_path, SHORT)
    assert task is not None and same(head, whole[0]) and same(task.torso.state_dict(), whole[1])
    assert read_log(tmp_path) == whole[2]


def test_the_seed_decides_the_torso(clip: Clip, tmp_path: Path, whole: tuple) -> None:
    _, task = fit(clip, tmp_path, SHORT, seed=1)
    assert task is not None and not torch.equal(task.torso.gaussians.colors, whole[1]["gaussians.colors"])


def test_what_goes_wrong_in_the_torso_is_named_with_stage_and_step(clip: Clip, tmp_path: Path) -> None:
    inner, calls = torso_task_module.torso_losses, iter(range(100))

    def losses(*arguments):  # noqa: ANN002, ANN202
        return {n: v * (float("nan") if next(calls) == 12 else 1.0) for n, v in inner(*arguments).items()}

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(torso_task_module, "torso_losses", losses)
        with pytest.raises(TrainingError, match=r"stage torso, step 4, .*torso_photometric, in frames \d+") as caught:
            fit(clip, tmp_path, SHORT)
    setting = caught.value.do.partition("--set ")[2].partition(";")[0]
    assert load_recipe("preview", (setting,)).torso.rates == TorsoRates(means=4e-5), setting
    saved = read_checkpoint(tmp_path, "torso", name=TorsoTask.checkpoint)
    assert saved is not None and saved.position == Position(2, 3)
    assert all(torch.isfinite(tensor).all() for tensor in saved.part("model.").values())


def test_a_torso_whose_gradient_is_no_number_names_the_part(clip: Clip, tmp_path: Path) -> None:
    inner = torso_task_module.torso_losses

    def losses(torso, *arguments):  # noqa: ANN001, ANN002, ANN202
        torso.follow.register_hook(lambda gradient: gradient * float("nan"))
        return inner(torso, *arguments)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(torso_task_module, "torso_losses", losses)
        with pytest.raises(TrainingError, match=r"step 0, .*gradient that is not a number: torso:motion") as caught:
            fit(clip, tmp_path, SHORT)
    assert "--set torso.rates.motion=0.0005" in caught.value.do


def test_log_and_report_have_the_torso_apart_from_the_head(fitted: tuple[Torso, Path]) -> None:
    _, folder = fitted
    lines = read_log(folder)
    assert [(line["stage"], line["step"]) for line in lines] == [
        ("static", 0), ("motion", 0), *(("torso", step) for step in range(0, 250, 50)),
    ]  # fmt: skip
    last = lines[-1]
    assert last["gaussians"] == {"torso": 500} and last["rate"]["torso:means"] < 8e-5
    assert all(name.startswith("torso:") for name in last["gradient"]) and last["gradient"]["torso:motion"] > 0
    curves = training_curves(folder / "metrics.jsonl")
    assert [y for _, y in curves["torso_photometric"]] == [line["torso_photometric"] for line in lines[2:]]
    assert curves["torso_photometric"][-1][1] < 0.5 * curves["torso_photometric"][0][1], "it learns"
    assert len(curves["photometric"]) == 2, "the head's curve ends with the head"


def test_the_picture_shows_torso_frames_over_what_is_drawn(fitted: tuple[Torso, Path]) -> None:
    _, folder = fitted
    picture = read_image(folder / TorsoTask.preview)
    assert picture.shape == (2 * SIZE, 4 * SIZE, 3) and read_image(folder / "preview.png").shape == picture.shape
    real, drawn = picture[:SIZE].astype(float), picture[SIZE:].astype(float)
    assert np.abs(real[:30] - 128).max() <= 1, "no background in the torso frames"
    assert np.abs(real[50:] - 128).mean() > 20 and 0 < np.abs(real - drawn).mean() < 4


@pytest.mark.gpu
def test_a_torso_trained_on_a_gpu_is_like_one_of_the_cpu(clip: Clip, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pytest.importorskip("gsplat")
    place = torch.device("cuda")
    plate = np.broadcast_to(PLACE, (SIZE, SIZE, 3))
    task = TorsoTask(TorsoConfig(True, 500, 250), NOBODY, plate, get_rasterizer(place), 0, "gpu", place)
    train(make_run(clip, tmp_path), TrainingConfig(HEAD), keep_poses, QuietProgress(), (task,))
    assert errors(clip, task.torso.cpu(), False) < 4.0


def test_fast_motion_of_the_head_is_left_out_of_the_slow_part() -> None:
    frames = np.arange(500)
    t = np.zeros((500, 3))
    t[:, 0], t[:, 1] = np.sin(2 * np.pi * 2.0 * frames / 25), np.sin(2 * np.pi * 0.05 * frames / 25)
    motion = slow_motion(np.tile(np.eye(3), (500, 1, 1)), t, np.eye(4, dtype=np.float32))
    assert np.abs(motion[50:-50, 3]).max() < 0.01, "2 Hz"
    assert np.abs(motion[50:-50, 4]).max() > 0.95, "0.05 Hz"
    assert np.allclose(motion[:, 9:], t, atol=1e-6)


def test_a_torso_at_rest_is_at_its_base_and_can_be_placed_anywhere() -> None:
    generator = torch.Generator().manual_seed(0)
    torso = blank_torso(40)
    with torch.no_grad():
        torso.gaussians.means.copy_(torch.randn(40, 3, generator=generator) * 0.05)
        torso.gaussians.quats.copy_(torch.randn(40, 4, generator=generator))
        torso.gaussians.log_scales.copy_(-4 + torch.randn(40, 3, generator=generator))
        torso.gaussians.colors.copy_(torch.rand(40, 3, generator=generator))
    assert torch.allclose(torso.poses(torch.zeros(2, 12)), torch.eye(4).expand(2, 4, 4))
    loaded = LoadedTorso(torso, np.eye(4, dtype=np.float32)[None])
    turn = torch.tensor([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])
    T = torch.eye(4)
    T[:3, :3], T[:3, 3] = turn, torch.tensor([0.02, -0.03, 0.6])
    K = torch.tensor([[[60.0, 0, 16], [0, 60, 16], [0, 0, 1]]])
    direct = loaded.draw(get_rasterizer("cpu"), Cameras(T[None], K, 32, 32))
    moved = loaded.placed(T.numpy())
    batched = type(moved)(*(value[None] for value in vars(moved).values()))
    placed = get_rasterizer("cpu")(batched, Cameras(torch.eye(4)[None], K, 32, 32))
    assert direct.alpha.max() > 0.3 and (direct.rgb - placed.rgb).abs().max() < 1e-4


def test_the_skull_and_what_hangs_on_it_lend_the_torso_no_depth() -> None:
    # torso, neck, head, jaw, eye: the last three are the skull's.
    below = torso_branch.carried_below(np.array([0, 1, 2, 3, 4, 1]), (-1, 0, 1, 2, 2), skull=2)
    assert below.tolist() == [True, True, False, False, False, True]
