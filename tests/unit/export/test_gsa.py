"""A ``.gsa`` file of an avatar, read back: its arrays, its Gaussians and its picture, against the avatar's own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import gaussavatar
from gaussavatar.audio.encoder import EncoderConfig
from gaussavatar.avatar.load import blank_model, load_avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.avatar.torso import LoadedTorso
from gaussavatar.errors import UserError
from gaussavatar.export.gsa import linear
from gaussavatar.export.gsa.container import pack, unpack
from gaussavatar.export.gsa.fidelity import psnr, strayed
from gaussavatar.export.gsa.file import avatar_file
from gaussavatar.export.gsa.linear import linear_branches
from gaussavatar.export.gsa.read import GsaAvatar, parsed, read_gsa
from gaussavatar.export.gsa.torso_loop import one_period
from gaussavatar.export.registry import export_avatar
from gaussavatar.media.frames import read_frames
from gaussavatar.model.config import BranchConfig, ModelConfig
from gaussavatar.model.torso import blank_torso
from gaussavatar.motion.timeline import back_and_forth, nearest
from gaussavatar.motion.track import FaceState, MotionTrack
from tests.unit.model.test_binding import make_model

NAME = Path("x.gsa")
Change = Callable[[dict, dict], object]


@pytest.fixture(scope="module")
def lit(toy_avatar: Path) -> LoadedAvatar:
    """The toy avatar with colours that the head's turn changes, and a head that turns."""
    avatar = load_avatar(toy_avatar)
    config = replace(avatar.record.model, shading=True)
    model = blank_model(config, avatar.record.shapes)
    model.load_state_dict(avatar.model.state_dict(), strict=False)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for branch in (model.face, model.mouth):
            branch.shading.slopes.copy_(0.3 * torch.randn(branch.shading.slopes.shape, generator=generator))
    poses = avatar.filmed.T_camera_world.copy()
    angle = np.linspace(-0.3, 0.3, len(poses))
    poses[:, 0, 0] = poses[:, 2, 2] = np.cos(angle)
    poses[:, 0, 2], poses[:, 2, 0] = np.sin(angle), -np.sin(angle)
    filmed = replace(avatar.filmed, T_camera_world=poses)
    model.eval().requires_grad_(False)
    return replace(avatar, model=model, record=replace(avatar.record, model=config), filmed=filmed)


@pytest.fixture(scope="module")
def full(lit: LoadedAvatar) -> GsaAvatar:
    return parsed(avatar_file(lit, "full").data, NAME)


def test_command_writes_a_file_that_python_reads(toy_avatar: Path, tmp_path: Path) -> None:
    told: list[str] = []
    path, count = export_avatar(toy_avatar, "avatar", tmp_path / "toy.gsa", tell=told.append)
    read = gaussavatar.read_gsa(path)
    assert count == sum(branch.base.shape[1] for branch in read.branches.values()) == 460
    assert (read.subject, read.consent, read.meta["synthetic"]) == ("nobody", "toy", True)
    assert len(told) == 1 and f"{path.stat().st_size / 1e6:.2f} MB" in told[0] and "dB" in told[0]
    loaded = load_avatar(toy_avatar)
    for name in ("mouth_codes", "upper", "T_camera_world"):
        np.testing.assert_array_equal(getattr(read.filmed, name), getattr(loaded.filmed, name))
    assert read.filmed.avatar == loaded.filmed.avatar and read.filmed.upper_names == loaded.upper_names
    np.testing.assert_array_equal(read.K, loaded.K)


def test_picture_of_the_file_is_the_avatars(lit: LoadedAvatar, full: GsaAvatar) -> None:
    decibels = psnr(lit, full)
    assert decibels >= 60
    still = replace(full, branches={k: replace(v, lighting=None) for k, v in full.branches.items()})
    assert psnr(lit, still) < decibels - 15, "light is part of the picture"
    faster = {k: replace(v, basis=1.2 * v.basis) for k, v in full.branches.items()}
    assert psnr(lit, replace(full, branches=faster)) < decibels - 10, "and so is motion"


def test_gaussians_of_a_code_are_the_avatars(lit: LoadedAvatar, full: GsaAvatar) -> None:
    codes, upper = np.array([1, -2, 0.5, 1.5], np.float32), np.array([1, 0, 0.3], np.float32)
    parts = full.gaussians(FaceState(codes, upper))
    face, mouth, _ = lit.model.activate(torch.from_numpy(codes)[None], torch.from_numpy(upper)[None])
    for name, own in (("face", face), ("mouth", mouth)):
        torch.testing.assert_close(parts[name].means, own.means[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(parts[name].quats, own.quats[0], atol=2e-2, rtol=0)
        torch.testing.assert_close(parts[name].colors, own.colors[0], atol=2e-2, rtol=0)
        torch.testing.assert_close(parts[name].opacities, own.opacities[0], atol=1e-4, rtol=0)


def test_fewer_bits_are_fewer_bytes_and_a_worse_picture(lit: LoadedAvatar) -> None:
    made = {quality: avatar_file(lit, quality).data for quality in ("small", "normal", "full")}
    sizes = [len(made[quality]) for quality in made]
    exact = linear_branches(lit)["face"].basis
    errors = [np.abs(parsed(data, NAME).branches["face"].basis - exact).mean() for data in made.values()]
    assert sizes == sorted(sizes) and sizes[0] < 0.9 * sizes[2]
    # Pictures are no judge of a bit more or less: one splat that changes places with another may outweigh it.
    assert errors[0] > 1.5 * errors[1] and errors[1] > 1.5 * errors[2]
    assert all(psnr(lit, parsed(data, NAME)) > 35 for data in made.values())


def test_torso_video_is_one_period_with_its_matte_below(toy_avatar: Path, tmp_path: Path, full: GsaAvatar) -> None:
    path = tmp_path / "torso.mp4"
    path.write_bytes(full.sections["torso.video"].tobytes())
    frames = list(read_frames(path, width=96, height=192, fps=None))
    places = np.array(full.meta["torso"]["places"])
    assert len(frames) == len(places) == full.meta["torso"]["frames"]
    np.testing.assert_array_equal(np.tile(places, 3)[: 2 * len(places)], nearest(back_and_forth(30, 2 * len(places))))
    assert np.abs(frames[5][:90].astype(int) - 120).max() < 6 and frames[5][100:].min() > 248
    assert one_period(3).tolist() == [0]


def test_orbit_is_what_the_clip_showed_and_a_little_more(full: GsaAvatar) -> None:
    low, high = full.meta["orbit"]["yaw"]
    # The head turns 17 degrees to either side.
    assert -32 < low < -26 and 26 < high < 32
    assert full.meta["orbit"]["pitch"] == [-8.0, 8.0]


def test_a_baked_basis_comes_near_what_moves_it(lit: LoadedAvatar) -> None:
    config = BranchConfig(count=400, n_free=0)
    model = blank_model(ModelConfig(face=config, mouth=replace(config, count=60)), lit.record.shapes)
    own = lit.model.state_dict()
    kept = {name: tensor for name, tensor in own.items() if name in model.state_dict() and "basis" not in name}
    model.load_state_dict(kept, strict=False)
    with torch.no_grad():
        for name, branch in (("face", model.face), ("mouth", model.mouth)):
            branch.motion.basis.copy_(own[f"{name}.motion.basis"][: len(branch.motion.basis)])
    avatar = replace(lit, model=model.eval())
    exact = linear.linear_branches(avatar)
    made = {name: linear.baked(avatar, name) for name in exact}
    assert strayed(avatar, made) < 0.05
    moved = {name: replace(branch, basis=0 * branch.basis) for name, branch in made.items()}
    assert strayed(avatar, moved) > 0.5, "which is less than what it is about"
    codes = np.concatenate([avatar.filmed.mouth_codes[7], avatar.filmed.upper[7]])
    np.testing.assert_allclose(made["face"].rows(codes)[7:11], exact["face"].rows(codes)[7:11], atol=0.02)


def test_gaussians_that_ride_on_a_head_are_baked_too(lit: LoadedAvatar) -> None:
    model, _, motion, _ = make_model(True)
    poses = np.repeat(lit.filmed.T_camera_world[15:16], len(motion.mouth_codes), axis=0)
    filmed = MotionTrack(motion.mouth_codes, motion.upper, poses, np.arange(len(poses)))
    bound = replace(lit, model=model, filmed=filmed)
    assert not linear.is_linear(bound)
    made = linear.linear_branches(bound)
    still = {name: replace(branch, basis=0 * branch.basis) for name, branch in made.items()}
    off, about = strayed(bound, made), strayed(bound, still)
    assert off < 0.2 * about and about > 0.3


def test_torso_gaussians_and_where_they_are_go_along(lit: LoadedAvatar) -> None:
    torso = blank_torso(20)
    with torch.no_grad():
        torso.gaussians.means.copy_(torch.linspace(-0.1, 0.1, 60).view(20, 3))
    poses = lit.filmed.T_camera_world[:, [1, 0, 2, 3]]
    file = parsed(avatar_file(replace(lit, torso=LoadedTorso(torso, poses)), "small").data, NAME)
    np.testing.assert_allclose(file.branches["torso"].base[:3].T, torso.gaussians.means.detach(), atol=1e-5)
    np.testing.assert_array_equal(file.sections["track.torso"], poses[:, :3])
    assert set(file.gaussians(FaceState(file.closed, file.resting_upper))) == {"face", "mouth"}


def test_a_motion_is_not_passed_over(toy_avatar: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="moves by itself"):
        export_avatar(toy_avatar, "avatar", tmp_path / "x.gsa", load_avatar(toy_avatar).filmed)


def test_a_design_that_is_far_from_linear_is_refused_unless_forced(lit: LoadedAvatar) -> None:
    config = BranchConfig(count=400, deformation="vectors")
    model = blank_model(ModelConfig(face=config, mouth=replace(config, count=60)), lit.record.shapes)
    model.load_state_dict({k: v for k, v in lit.model.state_dict().items() if ".gaussians." in k}, strict=False)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in (*model.face.motion.parameters(), *model.mouth.motion.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    wild = replace(lit, model=model.eval())
    with pytest.raises(UserError, match="within 2 px"):
        avatar_file(wild)
    made = avatar_file(wild, force=True)
    assert "px off" in made.said[0] and parsed(made.data, NAME).branches["face"].codes == 7


def test_an_avatar_that_a_page_cannot_hear_with_is_refused(lit: LoadedAvatar) -> None:
    config = EncoderConfig(n_codes=4, features=("mel", "hama"), width=62)
    lit.encoder.config, own = config, lit.encoder.config
    try:
        with pytest.raises(UserError, match="light audio network"):
            avatar_file(lit)
    finally:
        lit.encoder.config = own


def damaged(full_bytes: bytes, change: Change) -> bytes:
    meta, sections = unpack(full_bytes)
    change(meta, sections)
    return pack(meta, sections)


@pytest.mark.parametrize(
    "change, part",
    [
        (lambda meta, s: meta.pop("consent"), "consent"),
        (lambda meta, s: meta.update(format="other"), "format"),
        (lambda meta, s: meta.update(size=-4), "size"),
        (lambda meta, s: meta.update(synthetic=False), "synthetic"),
        (lambda meta, s: meta["branches"].pop("face"), "branch"),
        (lambda meta, s: meta["branches"]["face"].update(n=10**6), "face.base"),
        (lambda meta, s: meta["branches"]["face"].update(moving=500), "face"),
        (lambda meta, s: meta["branches"]["face"].update(codes=3), "3 codes"),
        (lambda meta, s: meta["branches"]["face"].update(moves=["position", "position"]), "movements"),
        (lambda meta, s: meta["branches"]["face"].update(moves=["smell"]), "smell"),
        (lambda meta, s: meta["branches"].update(tail=meta["branches"]["mouth"]), "tail"),
        (lambda meta, s: s.pop("face.base"), "face.base"),
        (lambda meta, s: s.update({"face.base.range": np.float32([[-3e38, 3e38]] * 14)}), "range"),
        (lambda meta, s: s.update({"face.basis": s["face.basis"][:, :, :-1]}), "face.basis"),
        (lambda meta, s: s.update({"track.pose": s["track.pose"][:4]}), "track.pose"),
        (lambda meta, s: s.update({"drive.closed": s["drive.closed"].astype(np.float16)}), "drive.closed"),
    ],
)
def test_a_file_that_does_not_fit_together_is_refused(toy_avatar: Path, change: Change, part: str) -> None:
    data = damaged(toy_bytes(toy_avatar), change)
    with pytest.raises(UserError, match=part):
        parsed(data, NAME)


CACHED: dict[Path, bytes] = {}


def toy_bytes(folder: Path) -> bytes:
    if folder not in CACHED:
        CACHED[folder] = avatar_file(load_avatar(folder), "small").data
    return CACHED[folder]


def test_no_file_and_no_room(toy_avatar: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No such file"):
        read_gsa(tmp_path / "nowhere.gsa")
    with pytest.raises(UserError, match="file name"):
        export_avatar(toy_avatar, "avatar", tmp_path)
    shutil.copy(toy_avatar / "plate.png", tmp_path / "plate")
    with pytest.raises(UserError, match="writable"):
        export_avatar(toy_avatar, "avatar", tmp_path / "plate" / "x.gsa")
