from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gaussavatar.motion.rotations import rotation_matrices, rotation_quaternions, rotation_vectors

HALF = [[np.pi, 0, 0], [0, np.pi, 0], [0, 0, np.pi], [np.pi - 1e-6, 0, 0], [2.2214414, 2.2214414, 0]]


@pytest.fixture
def vectors() -> np.ndarray:
    """Turns of every size, none at all, and half turns about each axis, where three of the four ways fail."""
    drawn = np.random.default_rng(0).normal(size=(200, 3)) * np.geomspace(1e-7, 1.7, 200)[:, None]
    drawn *= np.minimum(1, 3.14 / np.linalg.norm(drawn, axis=1, keepdims=True))
    return np.concatenate([drawn, np.zeros((1, 3)), HALF])


def test_all_forms_say_the_same_as_another_program(vectors: np.ndarray) -> None:
    R = Rotation.from_rotvec(vectors).as_matrix()
    assert np.abs(rotation_matrices(torch.from_numpy(vectors)).numpy() - R).max() < 1e-9
    quats = rotation_quaternions(torch.from_numpy(R)).numpy()
    assert np.abs(Rotation.from_quat(quats[:, [1, 2, 3, 0]]).as_matrix() - R).max() < 1e-12
    found = rotation_vectors(torch.from_numpy(R)).numpy()
    assert np.linalg.norm(found, axis=1).max() <= np.pi + 1e-12
    assert np.abs(Rotation.from_rotvec(found).as_matrix() - R).max() < 1e-9
    small = np.linalg.norm(vectors, axis=1) < 3
    assert np.abs(found - vectors)[small].max() < 1e-9


def test_gradients_are_right_at_rest_too() -> None:
    turns = torch.tensor([[0.0, 0, 0], [1e-5, 2e-5, 0], [0.3, -0.2, 0.9], [0, 3.0, 0.1]], dtype=torch.float64)
    assert torch.autograd.gradcheck(rotation_matrices, turns.requires_grad_(), eps=1e-6, atol=1e-6)

    def there_and_back(v: torch.Tensor) -> torch.Tensor:
        return rotation_vectors(rotation_matrices(v) @ rotation_matrices(torch.full_like(v, 0.05)))

    assert torch.autograd.gradcheck(there_and_back, turns, eps=1e-6, atol=1e-6)


def test_playing_is_imported_without_what_is_slow_to_import() -> None:
    slow = ["torch._dynamo", "scipy.signal", "scipy.interpolate", "scipy.stats"]
    words = f"import sys, gaussavatar.api, gaussavatar.speak; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
