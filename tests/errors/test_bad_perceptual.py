"""What a user reads when the weights of a perceptual network are wanted and wrong."""

from __future__ import annotations

from pathlib import Path

LOSS = "training.stages=[{name: joint, iterations: 5, losses: {perceptual: 0.1}}]"


def test_a_perceptual_loss_without_weights(message, media: Path) -> None:
    line = message("fit", media / "faceless.mp4", "--set", LOSS)
    assert "training.perceptual_weights" in line and "joint" in line


def test_weights_that_are_not_there(message, media: Path) -> None:
    line = message("fit", media / "faceless.mp4", "--set", LOSS, "training.perceptual_weights=alex.pth")
    assert "alex.pth" in line and "no such file" in line


def test_weights_that_are_none(message, media: Path) -> None:
    weights = f"training.perceptual_weights={media / 'letter.mp4'}"
    assert "unreadable" in message("fit", media / "faceless.mp4", "--set", LOSS, weights)


def test_evaluate_says_so_before_it_renders(message, toy_avatar: Path, media: Path) -> None:
    assert "no such file" in message("evaluate", toy_avatar, "--lpips-weights", media / "vgg.safetensors")
