"""The native rasterizer against the float64 oracle, for every instruction set that this machine has."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from gaussavatar.errors import UserError
from gaussavatar.native.library import available_isas, force_isa, native_info
from gaussavatar.native.threads import set_threads
from gaussavatar.render.native import NativeRasterizer
from gaussavatar.render.torch_oracle import TorchRasterizer
from gaussavatar.types import Activated, Cameras

ISAS = ("generic", "avx2", "avx512")
LEAVES = [field.name for field in fields(Activated)]


@pytest.fixture(autouse=True)
def restore_native():
    before = native_info()["isa"]
    yield
    force_isa(before)
    set_threads(None)


def use(isa: str) -> None:
    if isa not in available_isas():
        pytest.skip(f"this processor has no {isa}")
    force_isa(isa)


def make_scene(seed=0, batch=1, count=60, width=50, height=37, *, scale=0.04, opaque=0.98, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    values = {
        "means": (random(batch, count, 3) - 0.5) * torch.tensor([0.5, 0.4, 0.3], dtype=torch.float64),
        "quats": random(batch, count, 4) - 0.5,
        "scales": random(batch, count, 3) * scale + scale / 8,
        "opacities": random(batch, count) * opaque + (1 - opaque) / 2,
        "colors": random(batch, count, 3),
    }
    pose = torch.eye(4, dtype=torch.float64).repeat(batch, 1, 1)
    pose[:, :3, 3] = torch.tensor([0.02, -0.01, 0.8]) + 0.05 * random(batch, 3)
    pose[:, 0, 1], pose[:, 1, 0] = 0.1, -0.1
    K = torch.tensor([[70.0, 0, width / 2], [0, 75.0, height / 2], [0, 0, 1]], dtype=torch.float64)
    leaves = {name: value.to(dtype).requires_grad_() for name, value in values.items()}
    return leaves, pose.to(dtype).requires_grad_(), K.to(dtype).repeat(batch, 1, 1), width, height


def run(rasterizer, scene, seed=9):
    leaves, pose, K, width, height = scene
    rendered = rasterizer(Activated(**leaves), Cameras(pose, K, width, height))
    generator = torch.Generator().manual_seed(seed)
    v_rgb = torch.randn(rendered.rgb.shape, generator=generator, dtype=torch.float64).to(pose.dtype)
    v_alpha = torch.randn(rendered.alpha.shape, generator=generator, dtype=torch.float64).to(pose.dtype)
    inputs = [*leaves.values(), pose]
    outputs = (rendered.rgb * v_rgb).sum() + (rendered.alpha * v_alpha).sum()
    gradients = torch.autograd.grad(outputs, inputs, allow_unused=True)
    return rendered, dict(zip([*leaves, "pose"], gradients, strict=True))


def assert_close(native, oracle, image=2e-5, gradient=1e-4):
    (rendered, gradients), (true_rendered, true_gradients) = native, oracle
    assert (rendered.rgb - true_rendered.rgb).abs().max() < image
    assert (rendered.alpha - true_rendered.alpha).abs().max() < image
    for name, true in true_gradients.items():
        error = (gradients[name] - true).abs().max() / true.abs().max()
        assert error < gradient, f"gradient of {name} is off by {error:.1e} of the largest"


SCENES = {
    "mixed": {},
    "two frames": {"seed": 1, "batch": 2},
    "small splats": {"seed": 2, "scale": 0.004, "count": 200},
    "large splats": {"seed": 3, "scale": 0.4, "count": 40},
    "nearly opaque": {"seed": 4, "count": 150, "scale": 0.08, "opaque": 0.05},
    "one row": {"seed": 5, "width": 70, "height": 1},
    "one tile": {"seed": 6, "width": 16, "height": 16, "count": 30},
}


@pytest.mark.parametrize("name", SCENES)
def test_image_and_gradients_agree_with_the_oracle_on_every_instruction_set(name):
    options = dict(SCENES[name])
    oracle_scene = make_scene(**options)
    native_scene = make_scene(**options, dtype=torch.float32)
    if name == "nearly opaque":
        for scene in (oracle_scene, native_scene):
            scene[0]["opacities"] = (scene[0]["opacities"].detach() + 0.5).clamp(max=0.9985).requires_grad_()
    oracle = run(TorchRasterizer(), oracle_scene)
    for isa in available_isas():
        force_isa(isa)
        for threads in (1, 3):
            set_threads(threads)
            assert_close(run(NativeRasterizer(), native_scene), oracle)


@pytest.mark.parametrize("isa", ISAS)
def test_clamped_jacobian_agrees_with_the_oracle(isa):
    use(isa)

    def widened(dtype):
        scene = make_scene(7, dtype=dtype)
        with torch.no_grad():
            scene[0]["means"] *= torch.tensor([4.0, 4.0, 1.0], dtype=dtype)
            scene[0]["scales"] += 0.1
        return scene

    oracle_scene = widened(torch.float64)
    means, pose, K = oracle_scene[0]["means"], oracle_scene[1], oracle_scene[2]
    points = means[0] @ pose[0, :3, :3].T + pose[0, :3, 3]
    assert (points[:, 0] / points[:, 2] * K[0, 0, 0] > (0.5 + 0.15) * 50).sum() > 3
    assert_close(run(NativeRasterizer(), widened(torch.float32)), run(TorchRasterizer(), oracle_scene))


def test_instruction_sets_agree_on_a_crowded_scene():
    if len(available_isas()) < 2:
        pytest.skip("this processor has one instruction set")
    results = []
    for isa in available_isas():
        force_isa(isa)
        results.append(run(NativeRasterizer(), make_scene(count=3000, width=130, height=90, dtype=torch.float32)))
    for rendered, gradients in results[1:]:
        # A pixel at the alpha cut may fall on either side of it: then the image jumps by up to 1/255.
        difference = (rendered.rgb - results[0][0].rgb).abs()
        assert difference.max() < 2 / 255 and difference.mean() < 1e-6
        for name, gradient in gradients.items():
            error = (gradient - results[0][1][name]).abs() / results[0][1][name].abs().max()
            assert error.quantile(0.99) < 1e-4 and error.max() < 1e-2


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_batch_is_its_frames(threads):
    leaves, pose, K, width, height = make_scene(11, batch=4, dtype=torch.float32)
    set_threads(threads)
    whole, gradients = run(NativeRasterizer(), (leaves, pose, K, width, height))
    set_threads(1)
    for b in range(4):
        part = Activated(**{name: leaf[b : b + 1] for name, leaf in leaves.items()})
        single = NativeRasterizer()(part, Cameras(pose[b : b + 1], K[b : b + 1], width, height))
        assert torch.equal(single.rgb[0], whole.rgb[b]) and torch.equal(single.alpha[0], whole.alpha[b])
    _, serial = run(NativeRasterizer(), (leaves, pose, K, width, height))
    for name, gradient in gradients.items():
        assert (gradient - serial[name]).abs().max() <= 1e-5 * serial[name].abs().max()


def test_shared_tensors_get_the_sum_of_their_frames_gradients():
    leaves, pose, K, width, height = make_scene(12, dtype=torch.float32)
    poses = pose.detach().repeat(3, 1, 1)
    poses[:, 0, 3] += torch.tensor([0.0, 0.05, -0.05])
    Ks = K.expand(3, 3, 3)
    shared = {name: leaf.expand(3, *leaf.shape[1:]) for name, leaf in leaves.items()}
    copied = {name: leaf.repeat(3, *[1] * (leaf.dim() - 1)) for name, leaf in leaves.items()}
    results = []
    for tensors in (shared, copied):
        rendered = NativeRasterizer()(Activated(**tensors), Cameras(poses, Ks, width, height))
        results.append((rendered.rgb, torch.autograd.grad(rendered.rgb.square().sum(), list(leaves.values()))))
    assert torch.equal(results[0][0], results[1][0])
    for first, second in zip(results[0][1], results[1][1], strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize(("threads", "batch"), [(1, 1), (2, 1), (2, 3), (7, 2)])
def test_results_repeat_bit_by_bit(threads, batch):
    set_threads(threads)
    first = run(NativeRasterizer(), make_scene(13, batch, 2000, 120, 100, dtype=torch.float32))
    for _ in range(3):
        again = run(NativeRasterizer(), make_scene(13, batch, 2000, 120, 100, dtype=torch.float32))
        assert torch.equal(first[0].rgb, again[0].rgb)
        assert all(torch.equal(first[1][name], again[1][name]) for name in first[1])


def test_gradients_do_not_depend_on_other_calls_between_forward_and_backward():
    scene = make_scene(14, dtype=torch.float32)
    _, expected = run(NativeRasterizer(), scene)
    leaves, pose, K, width, height = scene
    rendered = NativeRasterizer()(Activated(**leaves), Cameras(pose, K, width, height))
    run(NativeRasterizer(), make_scene(15, batch=3, dtype=torch.float32))
    generator = torch.Generator().manual_seed(9)
    v_rgb = torch.randn(rendered.rgb.shape, generator=generator, dtype=torch.float64).float()
    v_alpha = torch.randn(rendered.alpha.shape, generator=generator, dtype=torch.float64).float()
    loss = (rendered.rgb * v_rgb).sum() + (rendered.alpha * v_alpha).sum()
    for keep in (True, False):
        gradients = torch.autograd.grad(loss, list(leaves.values()), retain_graph=keep)
        assert all(torch.equal(gradient, expected[name]) for name, gradient in zip(LEAVES, gradients, strict=True))


def test_drawing_without_gradients_gives_the_same_image():
    leaves, pose, K, width, height = make_scene(16, dtype=torch.float32)
    cameras = Cameras(pose, K, width, height)
    with_gradients = NativeRasterizer()(Activated(**leaves), cameras)
    with torch.no_grad():
        without = NativeRasterizer()(Activated(**leaves), cameras)
    assert with_gradients.rgb.requires_grad and not without.rgb.requires_grad
    assert torch.equal(with_gradients.rgb, without.rgb)


@pytest.mark.parametrize("isa", ISAS)
def test_what_cannot_be_seen_changes_nothing(isa):
    use(isa)
    leaves, pose, K, width, height = make_scene(17, dtype=torch.float32)
    expected, expected_gradients = run(NativeRasterizer(), (leaves, pose, K, width, height))
    nan, hidden = float("nan"), {name: leaf.detach()[:, :7].clone() for name, leaf in leaves.items()}
    hidden["means"][0, 0] = torch.tensor([0.0, 0.0, -5.0])
    hidden["means"][0, 1] = torch.tensor([50.0, 0.0, 0.0])
    hidden["means"][0, 2, 1] = nan
    hidden["quats"][0, 3] = 0.0
    hidden["scales"][0, 4, 2] = nan
    hidden["opacities"][0, 5] = 0.0039
    hidden["opacities"][0, 6] = nan
    extended = {name: torch.cat([hidden[name], leaf.detach()], 1).requires_grad_() for name, leaf in leaves.items()}
    rendered, gradients = run(NativeRasterizer(), (extended, pose, K, width, height))
    assert torch.equal(rendered.rgb, expected.rgb)
    for name in LEAVES:
        assert gradients[name][:, :7].abs().sum() == 0
        torch.testing.assert_close(gradients[name][:, 7:], expected_gradients[name], rtol=1e-4, atol=1e-5)
    assert torch.isfinite(gradients["pose"]).all()


@pytest.mark.parametrize("isa", ISAS)
def test_extreme_but_finite_gaussians_stay_finite(isa):
    use(isa)
    leaves, pose, K, width, height = make_scene(18, dtype=torch.float32)
    with torch.no_grad():
        leaves["scales"][0, 0] = torch.tensor([1e3, 1e-6, 1e-6])
        leaves["scales"][0, 1] = 1e4
        leaves["scales"][0, 2] = 0.0
        leaves["means"][0, 3] = torch.tensor([0.0, 0.0, -0.76])
        leaves["means"][0, 4] = torch.tensor([1e6, -1e6, 1e7])
        leaves["quats"][0, 5] *= 1e-6
        leaves["opacities"][0, 6] = 1.0
    rendered, gradients = run(NativeRasterizer(), (leaves, pose, K, width, height))
    assert torch.isfinite(rendered.rgb).all() and rendered.alpha.min() >= 0 and rendered.alpha.max() <= 1
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())


def test_nothing_to_draw_is_black():
    scene = make_scene(count=0, dtype=torch.float32)
    rendered, gradients = run(NativeRasterizer(), scene)
    assert rendered.rgb.abs().sum() == 0 and rendered.alpha.abs().sum() == 0
    assert gradients["means"].shape == (1, 0, 3) and gradients["pose"].abs().sum() == 0
    empty = make_scene(batch=0, count=5, dtype=torch.float32)
    assert NativeRasterizer()(Activated(**empty[0]), Cameras(*empty[1:])).rgb.shape == (0, 37, 50, 3)


def test_other_dtypes_and_layouts_are_accepted():
    leaves, pose, K, width, height = make_scene(19)
    turned = {name: leaf.transpose(0, -1).contiguous().transpose(0, -1) for name, leaf in leaves.items()}
    rendered = NativeRasterizer()(Activated(**turned), Cameras(pose, K, width, height))
    expected = TorchRasterizer()(Activated(**leaves), Cameras(pose, K, width, height))
    assert (rendered.rgb - expected.rgb).abs().max() < 2e-5
    rendered.rgb.sum().backward()
    assert leaves["means"].grad.dtype == torch.float64 and leaves["means"].grad.abs().sum() > 0


def test_pose_gradient_leads_back_to_the_true_pose():
    leaves, pose, K, width, height = make_scene(20, count=150, dtype=torch.float32)
    gaussians = Activated(**{name: leaf.detach() for name, leaf in leaves.items()})
    true = pose.detach()
    target = NativeRasterizer()(gaussians, Cameras(true, K, width, height)).rgb
    shift = torch.tensor([[0.01, -0.008, 0.0]], requires_grad=True)
    optimizer = torch.optim.Adam([shift], lr=1e-3)
    for _ in range(60):
        moved = true.clone()
        moved[:, :3, 3] = true[:, :3, 3] + shift
        loss = (NativeRasterizer()(gaussians, Cameras(moved, K, width, height)).rgb - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert shift.abs().max() < 0.002


def test_wrong_choices_are_explained():
    with pytest.raises(UserError, match="avx1024"):
        force_isa("avx1024")
    with pytest.raises(UserError, match="threads"):
        set_threads(0)
