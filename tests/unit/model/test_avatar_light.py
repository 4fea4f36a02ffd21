"""A camera that goes round a lit head leaves its colours; a head that turns does not."""

import torch
from scipy.spatial.transform import Rotation

from gaussavatar.avatar.load import blank_model
from gaussavatar.model.config import BranchConfig, ModelConfig


def test_light_stays_with_the_clip_when_the_camera_goes_round():
    config = ModelConfig(BranchConfig(6), BranchConfig(4), shading=True)
    shapes = {"n_mouth": 3, "n_upper": 2, "face": 6, "face_moving": 4, "mouth": 4, "mouth_moving": 4}
    model = blank_model(config, shapes)
    with torch.no_grad():
        model.face.shading.slopes.fill_(0.5)
    codes, upper = torch.zeros(1, 3), torch.zeros(1, 2)
    clip_pose = torch.eye(4)[None]
    orbit = clip_pose.clone()
    orbit[0, :3, :3] = torch.tensor(Rotation.from_rotvec([0, 0.1, 0]).as_matrix())

    def colours(camera: torch.Tensor, light: torch.Tensor | None) -> torch.Tensor:
        return model.activate(codes, upper, T_camera_world=camera, T_light_world=light)[0].colors

    still = colours(clip_pose, None)
    assert torch.equal(colours(orbit, clip_pose), still)
    assert (colours(orbit, None) - still).abs().max() > 0.01
