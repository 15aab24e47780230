"""The stages from files to network input, our way and the common one, as units of work to be timed.

Both run on one core, as in a loader worker; only our augmentation runs on the device of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch.utils.data import default_collate
from torchvision import transforms

from gender_lightning.benchmarks.common import (
    CommonDataset,
    augmentation_transforms,
    common_transform,
    resize_transforms,
    tensor_transforms,
)
from gender_lightning.benchmarks.faces import BenchmarkFaces, batches
from gender_lightning.benchmarks.timing import Unit
from gender_lightning.data.decoding import decode
from gender_lightning.data.framing import Framing
from gender_lightning.inference.bunches import bunches
from gender_lightning.inference.faces.crops import Cropper
from gender_lightning.inference.pictures import open_picture
from gender_lightning.transforms import Augment

Units = dict[str, Unit]  # "ours" and "common"


def decode_units(faces: BenchmarkFaces, batch_size: int) -> Units:
    """Decode files to pixels."""
    store, ids = faces.dataset.store, faces.dataset.index.image_ids
    turns, common_turns = batches(len(faces.rows), batch_size), batches(len(faces.rows), batch_size)

    def ours() -> int:
        for position in next(turns):
            image_id = ids[faces.rows[position]]
            decode(store.read(image_id), path="")
        return batch_size

    def common() -> int:
        for position in next(common_turns):
            Image.open(faces.paths[position]).convert("RGB")
        return batch_size

    return {"ours": ours, "common": common}


def loader_units(faces: BenchmarkFaces, batch_size: int, augment: Augment) -> Units:
    """Do the work of a loader worker: ours decodes and resizes; the common one also augments and normalises."""
    turns = batches(len(faces.rows), batch_size)

    def ours() -> int:
        faces.dataset.__getitems__([faces.rows[position] for position in next(turns)])
        return batch_size

    return {"ours": ours, "common": _common_worker(faces, batch_size, augment)}


def pipeline_units(faces: BenchmarkFaces, batch_size: int, augment: Augment) -> Units:
    """Turn files into augmented, normalised batches, all on the CPU."""
    turns = batches(len(faces.rows), batch_size)
    on_cpu = Augment(augment.settings, seed=augment.seed, channels_last=True)

    def ours() -> int:
        batch = faces.dataset.__getitems__([faces.rows[position] for position in next(turns)])
        on_cpu(batch.images, batch.indices, 0)
        return batch_size

    return {"ours": ours, "common": _common_worker(faces, batch_size, augment)}


def augmentation_units(faces: BenchmarkFaces, batch_size: int, augment: Augment, device: torch.device) -> Units:
    """Turn pictures that are already decoded and resized into augmented, normalised batches."""
    framing = faces.dataset.framing
    first = next(batches(len(faces.rows), batch_size))
    batch = faces.dataset.__getitems__([faces.rows[position] for position in first])
    images, indices = batch.images.to(device), batch.indices.to(device)
    resize = transforms.Compose(resize_transforms(framing.image_size, framing.crop))
    pictures = [resize(Image.open(faces.paths[position]).convert("RGB")) for position in first]
    rest = [*augmentation_transforms(augment.settings), *tensor_transforms(augment.settings)]
    transform = transforms.Compose(rest)
    step = iter(range(1 << 62))

    def ours() -> int:
        augment(images, indices, next(step))
        return batch_size

    def common() -> int:
        default_collate([transform(picture) for picture in pictures])
        return batch_size

    return {"ours": ours, "common": common}


def faces_units(encoded: Sequence[bytes], framing: Framing) -> Units:
    """Open pictures, and find, align and frame their faces: as `predict` does, and each in full and by itself."""
    cropper = Cropper(framing, "auto")

    def ours() -> int:
        opened = (open_picture(data, reduction=cropper.reduction) for data in encoded)
        for bunch in bunches(opened, lambda picture: picture.pixels.shape[0] * picture.pixels.shape[1]):
            cropper.crops_of([picture.picture for picture in bunch])
        return len(encoded)

    def common() -> int:
        for data in encoded:
            cropper.crops(open_picture(data).pixels)
        return len(encoded)

    return {"ours": ours, "common": common}


def _common_worker(faces: BenchmarkFaces, batch_size: int, augment: Augment) -> Callable[[], int]:
    framing = faces.dataset.framing
    transform = common_transform(augment.settings, framing.image_size, framing.crop)
    dataset = CommonDataset(faces.paths, faces.labels, transform)
    turns = batches(len(faces.rows), batch_size)

    def common() -> int:
        default_collate([dataset[position] for position in next(turns)])
        return batch_size

    return common
