"""The head's edge seen from aside: in colours that the face has, and as filmed to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from gaussavatar.training.aside import LUMA, among_neighbours, lay_aside, of_the_edge
from gaussavatar.training.data import Clip
from gaussavatar.training.unseen import Visibility, viewed_frames, visibility

from .test_unseen import pictures, trained  # noqa: F401
from .tiny_runs import Run


def test_a_colour_among_its_neighbours_stays_and_a_foreign_one_does_not() -> None:
    generator = torch.Generator().manual_seed(0)
    brown = torch.tensor([0.4, 0.3, 0.2])
    others = brown + 0.03 * torch.randn(4, 16, 3, generator=generator)
    own = torch.stack([brown, brown + 0.04, torch.tensor([0.0, 0.2, 0.9]), torch.tensor([1.2, 0.6, -0.2])])
    changed = among_neighbours(own, others)
    assert torch.allclose(changed[:2], own[:2], atol=0.03), "hair's own light and shade stay"
    luma = torch.tensor(LUMA)
    assert torch.allclose(changed @ luma, own @ luma, atol=1e-5), "a chin's shadow stays one"
    hue = changed - (changed @ luma)[:, None] - (brown - brown @ luma)
    assert hue[2:].abs().max() < 0.15, "neither a screen's blue nor the orange that makes up for it"


def test_what_is_seen_at_the_rim_alone_is_of_the_edge() -> None:
    share = torch.tensor([0.5, 0.5, 0.001, 0.5])
    inside = torch.tensor([0.4, 0.1, 0.0, 0.0])
    assert of_the_edge(Visibility(share, inside)).tolist() == [False, True, False, True]


def test_filmed_views_stay_and_others_lose_the_edges_colours(trained: Run, tiny_clip: Clip, tmp_path: Path) -> None:  # noqa: F811
    face = trained.model.face.gaussians
    seen = visibility(trained.model, trained.rasterizer, trained.clip, viewed_frames(trained.clip))
    edge = of_the_edge(seen)
    assert int(edge.sum()) > 3
    with torch.no_grad():
        face.colors[edge] = torch.tensor([0.0, 0.2, 3.0])
    before, _ = pictures(trained)
    blue, _ = pictures(trained, 50.0)
    assert lay_aside(trained.model, trained.rasterizer, trained.clip) >= int(edge.sum())
    after, _ = pictures(trained)
    assert torch.equal(before, after)
    cleaned, _ = pictures(trained, 50.0)
    assert float((blue - cleaned)[..., 2].max()) > 0.2 and float(np.abs((blue - cleaned).numpy()).max()) > 0.2
