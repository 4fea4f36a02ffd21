"""The perceptual distance with random backbones of the right shapes; no trained weights are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gaussavatar.errors import UserError
from gaussavatar.image import perceptual
from gaussavatar.image.perceptual import BACKBONES, PerceptualLoss, perceptual_loss


def random_state(kind: str, heads: bool = False) -> dict[str, torch.Tensor]:
    """A state dict of the right shapes."""
    generator = torch.Generator().manual_seed(0)
    state = {"classifier.1.weight": torch.zeros(2, 2)}
    for layer in BACKBONES[kind]:
        inner, outer, kernel = layer.shape
        shape = (outer, inner, kernel, kernel)
        state[f"features.{layer.number}.weight"] = torch.randn(shape, generator=generator) / (inner * kernel**2) ** 0.5
        state[f"features.{layer.number}.bias"] = torch.zeros(outer)
    if heads:
        widths = [layer.shape[1] for layer in BACKBONES[kind] if layer.compared]
        for index, width in enumerate(widths):
            state[f"lin{index}.model.1.weight"] = torch.full((1, width, 1, 1), 0.5)
    return state


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_file(random_state("alex"), folder / "alex.safetensors")
    torch.save(random_state("alex"), folder / "alex.pth")
    save_file(random_state("alex", heads=True), folder / "lpips.safetensors")
    save_file(random_state("vgg16"), folder / "vgg16.safetensors")
    return folder


@pytest.fixture(autouse=True)
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether this machine has the lpips package must not matter."""
    monkeypatch.setattr(perceptual, "installed_heads", lambda kind: None)


def picture(side: int = 72) -> torch.Tensor:
    ys, xs = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    return torch.stack([0.5 + 0.4 * torch.sin(20 * xs), ys, xs * ys], dim=-1)[None]


@pytest.mark.parametrize("kind", ["alex", "vgg16"])
def test_zero_for_the_same_picture_and_growing_with_the_damage(folder: Path, kind: str) -> None:
    net, real = PerceptualLoss(folder / f"{kind}.safetensors"), picture()
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(1))
    distances = [net((real + amount * noise).clamp(0, 1), real).item() for amount in (0.0, 0.02, 0.1)]
    assert net.kind == kind and distances[0] < 1e-9 < distances[1] < distances[2]


def test_features_have_the_published_sizes(folder: Path) -> None:
    alex = PerceptualLoss(folder / "alex.safetensors").features(picture(224))
    assert [tuple(each.shape[1:]) for each in alex] == [
        (64, 55, 55), (192, 27, 27), (384, 13, 13), (256, 13, 13), (256, 13, 13)
    ]  # fmt: skip
    vgg = PerceptualLoss(folder / "vgg16.safetensors").features(picture(64))
    assert [tuple(each.shape[1:]) for each in vgg] == [
        (64, 64, 64), (128, 32, 32), (256, 16, 16), (512, 8, 8), (512, 4, 4)
    ]  # fmt: skip


def test_only_with_heads_it_is_called_lpips(folder: Path) -> None:
    plain, whole = PerceptualLoss(folder / "alex.safetensors"), PerceptualLoss(folder / "lpips.safetensors")
    assert plain.title.startswith("perceptual distance (alex, sha256 ") and whole.title.startswith("LPIPS (alex")
    damaged = picture().flip(1)
    assert whole(damaged, picture()).item() == pytest.approx(0.5 * plain(damaged, picture()).item(), rel=1e-5)
    assert PerceptualLoss(folder / "alex.pth").checksum != plain.checksum


def test_gradients_lead_back_to_the_real_picture(folder: Path) -> None:
    net, real = PerceptualLoss(folder / "alex.safetensors"), picture()
    image = (real + 0.1 * torch.randn(real.shape, generator=torch.Generator().manual_seed(2))).requires_grad_()
    before = net(image, real).sum()
    (gradient,) = torch.autograd.grad(before, image)
    assert net(image - 2e-2 * gradient / gradient.norm(), real).sum() < before


def test_small_pictures_are_enlarged(folder: Path) -> None:
    assert torch.isfinite(PerceptualLoss(folder / "alex.safetensors")(picture(20), picture(20) * 0.5)).all()


def test_crops_look_at_the_mouth_and_elsewhere(folder: Path) -> None:
    net, real = PerceptualLoss(folder / "alex.safetensors"), picture(256)
    boxes = torch.tensor([[180.0, 190, 220, 210]])
    wrong = real.clone()
    wrong[:, 185:215, 175:225] = 0
    seeds = [torch.Generator().manual_seed(seed) for seed in range(3)]
    assert all(perceptual_loss(wrong, real, boxes, net, seed) > 1e-3 for seed in seeds), "the mouth's crop sees it"
    elsewhere = real.clone()
    elsewhere[:, :128, :128] = 0
    found = [perceptual_loss(elsewhere, real, boxes, net, torch.Generator().manual_seed(s)).item() for s in range(12)]
    assert min(found) < 1e-9 and max(found) > 1e-3, "the other crop sees it now and then"


def test_files_that_are_no_backbone(folder: Path, tmp_path: Path) -> None:
    save_file({"features.0.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "small.safetensors")
    (tmp_path / "letter.pth").write_text("Dear Sir or Madam")
    (tmp_path / "letter.safetensors").write_text("Dear Sir or Madam")
    torch.save({"epoch": 3, "state": [1]}, tmp_path / "run.pth")
    save_file({"lin0.model.1.weight": torch.ones(1, 7, 1, 1)}, tmp_path / "heads.safetensors")
    cases = {"absent.pth": "no such file", "small.safetensors": "AlexNet or VGG-16", "letter.pth": "unreadable",
             "letter.safetensors": "unreadable", "run.pth": "state dict"}  # fmt: skip
    for name, words in cases.items():
        with pytest.raises(UserError, match=words):
            PerceptualLoss(tmp_path / name)
    with pytest.raises(UserError, match="heads for this backbone"):
        PerceptualLoss(folder / "alex.safetensors", tmp_path / "heads.safetensors")


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save(Evil(), tmp_path / "evil.pth")
    with pytest.raises(UserError, match="unreadable"):
        PerceptualLoss(tmp_path / "evil.pth")
