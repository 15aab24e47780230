"""Views from further away, against torch's own antialiased resize."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gender_lightning.data.framing import Framing
from gender_lightning.errors import UserError
from gender_lightning.models.backbones import create_backbone
from gender_lightning.models.checkpoints.checkpoint import ModelSpec, Network
from gender_lightning.models.zooms import zoomed_out


@pytest.mark.parametrize(("side", "zoom"), [(96, 1.4), (96, 2.0), (33, 1.7), (48, 3.9), (7, 4.0)])
def test_a_view_is_the_image_resized_and_surrounded_by_its_repeated_edge(side: int, zoom: float) -> None:
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(side))
    kept = max(1, round(side / zoom))
    small = F.interpolate(images, (kept, kept), mode="bilinear", antialias=True, align_corners=False)
    before, after = (side - kept) // 2, side - kept - (side - kept) // 2
    expected = F.pad(small, (before, after, before, after), mode="replicate")
    torch.testing.assert_close(zoomed_out(images, zoom), expected, atol=1e-5, rtol=0)


def test_from_as_far_as_in_training_the_images_are_themselves() -> None:
    images = torch.rand(2, 3, 8, 8)
    assert zoomed_out(images, 1) is images


def test_mixed_precision_does_not_touch_the_pixels() -> None:
    images = torch.rand(2, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(zoomed_out(images, 1.5), zoomed_out(images.clone(), 1.5), atol=0, rtol=0)
        assert zoomed_out(images, 1.5).dtype == torch.float32


@pytest.mark.parametrize("flip", [False, True])
@torch.inference_mode()
def test_the_logit_is_the_mean_over_zooms_and_mirror_images(flip: bool) -> None:
    torch.manual_seed(0)
    net = create_backbone("timm/test_resnet", image_size=32)
    spec = ModelSpec("timm/test_resnet", Framing(32), test_time_flip=flip, test_time_zooms=(1.0, 1.5, 2.0))
    network = Network(net, spec).eval()
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    faces = network.normalize(images)
    seen = [zoomed_out(faces, zoom) for zoom in (1.0, 1.5, 2.0)]
    seen += [view.flip(-1) for view in seen] if flip else []
    torch.testing.assert_close(network(images), torch.stack([net(view) for view in seen]).mean(dim=0))


@pytest.mark.parametrize("zooms", [[], [0.5], [5.0], "1", [1.0] * 9])
def test_a_checkpoint_with_impossible_zooms_is_refused(zooms: object) -> None:
    values = ModelSpec("resnet18", Framing(32)).to_dict() | {"test_time_zooms": zooms}
    with pytest.raises(UserError, match="test_time_zooms"):
        ModelSpec.from_dict(values)
