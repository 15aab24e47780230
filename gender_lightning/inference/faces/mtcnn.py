"""The default detector: MTCNN in torch, with the weights from the package `mtcnn`. It works offline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import batched_nms

from gender_lightning.inference.bunches import bunches
from gender_lightning.inference.faces.face import Box, Face, largest_first
from gender_lightning.inference.faces.mtcnn_nets import load_networks
from gender_lightning.inference.faces.pyramid import Pyramid
from gender_lightning.models.sharing import prepare_thread

_WINDOW = 12  # px of P-Net
_STEP = 0.709  # scale from one level of the pyramid to the next: half the area
_SCORES = (0.6, 0.7, 0.9)  # least scores of the three networks; 0.9 misses 1 % of celeba-mini, with few false faces
_OVERLAPS = (0.5, 0.7, 0.7, 0.7)  # within a level, among levels, after R-Net, at the end
# The window of a face that the last network sees, in units of the distance between the eyes: how far its centre is
# below the midpoint of the eyes, and the length of its side (medians over celeba-mini).
_BELOW, _SIDE = 0.33, 2.9
_MOST_WINDOWS = 1000  # windows of a picture passed on to R-Net
_MOST_PIXELS = 2_000_000  # of pictures that are searched together, unless a single one has more
_BATCH = 128  # windows that a network is shown at once; more leave the cache
_LEAST_FACE = 34  # px of the smallest face in a reduced photograph
_LEAST_REDUCED = 1000  # px of the shorter side of a photograph that is reduced


@dataclass
class _Searched:
    """Pictures of one size, and the windows that may hold a face.

    Attributes:
        places: The positions of the pictures among all that are searched.
        pyramid: The pictures at several resolutions.
        windows: Shape (N, 4): x1, y1, x2, y2 in pixels.
        rows: Shape (N,): the picture of each window, within the pyramid.
    """

    places: list[int]
    pyramid: Pyramid
    windows: Tensor
    rows: Tensor


class Mtcnn:
    """Finds faces and their eyes."""

    def __init__(self, min_face: int | None = None) -> None:
        """Load the weights.

        Args:
            min_face: Side in pixels of the smallest face to look for; None means 20, or for a large picture a fiftieth
                of the side of a square of the same area, so that a panorama is searched as finely as any other.

        Raises:
            UserError: The package that holds the weights is not installed.
        """
        self.min_face = min_face
        self.proposals, self.refinement, self.output = load_networks()

    def detect(self, picture: NDArray[np.uint8]) -> list[Face]:
        """The faces of a picture, RGB uint8 (H, W, 3), the largest first."""
        return self.detect_many([picture])[0]

    def reduction(self, height: int, width: int) -> int:
        """How far a picture may be reduced so that its smallest face keeps `_LEAST_FACE` pixels: 1, 2, 4 or 8."""
        if min(height, width) < _LEAST_REDUCED:
            return 1
        least = self.min_face or _least_face(height, width)
        return next((factor for factor in (8, 4, 2) if least >= factor * _LEAST_FACE), 1)

    def detect_many(self, pictures: Sequence[NDArray[np.uint8]]) -> list[list[Face]]:
        """The faces of each picture, as `detect` finds them; several pictures take less time together."""
        return self.detect_reduced(pictures, [1] * len(pictures))

    def detect_reduced(self, pictures: Sequence[NDArray[np.uint8]], reductions: Sequence[int]) -> list[list[Face]]:
        """The faces of copies that were reduced by these factors, in their own pixels."""
        prepare_thread()
        found: list[list[Face]] = [[] for _ in pictures]
        for some in _batches(pictures):
            self._detect(pictures, reductions, some, found)
        return found

    @torch.inference_mode()
    def confirm_many(
        self, pictures: Sequence[NDArray[np.uint8]], eyes: Sequence[NDArray[np.float64]]
    ) -> list[Face | None]:
        """The face in each picture whose eyes are near these places, (2, 2) of (x, y) in pixels; None if there is none.

        Only the last network runs. On 230 pictures of five kinds, all but two gave the same result as a full search, in
        a fifth to a tenth of the time.
        """
        prepare_thread()
        found: list[list[Face]] = [[] for _ in pictures]
        for some in _batches(pictures):
            groups = []
            for places in _by_size(pictures, some):
                windows = torch.stack([_window_of(eyes[place]) for place in places])
                pyramid = Pyramid([pictures[place] for place in places])
                groups.append(_Searched(places, pyramid, windows, torch.arange(len(places))))
            self._finish(groups, found)
        return [next(iter(faces), None) for faces in found]

    @torch.inference_mode()
    def _detect(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        reductions: Sequence[int],
        some: list[int],
        found: list[list[Face]],
    ) -> None:
        alike = (part for factor in (1, 2, 4, 8) if (part := [place for place in some if reductions[place] == factor]))
        groups = [
            self._proposed(pictures, places, reductions[places[0]])
            for part in alike
            for places in _by_size(pictures, part)
        ]
        scores, shifts = _in_batches(self.refinement, groups, 24)
        for group, of_group, shift in zip(groups, _split(scores, groups), _split(shifts, groups), strict=True):
            faces = of_group > _SCORES[1]
            moved, rows = _moved(group.windows[faces], shift[faces]), group.rows[faces]
            kept = batched_nms(moved, of_group[faces], rows, _OVERLAPS[2])
            group.windows, group.rows = _squared(moved[kept]), rows[kept]
        self._finish(groups, found)

    def _proposed(self, pictures: Sequence[NDArray[np.uint8]], places: list[int], reduction: int) -> _Searched:
        """The windows in which P-Net sees a face, from all levels of the pyramid."""
        pyramid = Pyramid([pictures[place] for place in places])
        height, width = pyramid.height, pyramid.width
        scale = _WINDOW / (self.min_face / reduction if self.min_face else _least_face(height, width))
        windows, scores, rows = [torch.zeros(0, 4)], [torch.zeros(0)], [torch.zeros(0, dtype=torch.long)]
        while min(height, width) * scale >= _WINDOW:
            size = (round(height * scale), round(width * scale))
            found, of_level, own = _windows(*self.proposals(pyramid.level(*size), _SCORES[0]))
            kept = batched_nms(found, of_level, own, _OVERLAPS[0])
            windows.append(found[kept] * torch.tensor([width / size[1], height / size[0]] * 2))
            scores.append(of_level[kept])
            rows.append(own[kept])
            scale *= _STEP
        together, of_all, own = torch.cat(windows), torch.cat(scores), torch.cat(rows)
        kept = batched_nms(together, of_all, own, _OVERLAPS[1])  # the best first
        best = torch.cat([kept[own[kept] == row][:_MOST_WINDOWS] for row in range(len(pyramid))])
        return _Searched(places, pyramid, _squared(together[best]), own[best])

    def _finish(self, groups: list[_Searched], found: list[list[Face]]) -> None:
        """Put the faces that O-Net sees in the windows to those found of each picture, the largest first."""
        outputs = _in_batches(self.output, groups, 48)
        split = zip(groups, *(_split(output, groups) for output in outputs), strict=True)
        for group, scores, shifts, landmarks in split:
            for row, place in enumerate(group.places):
                own = (group.rows == row) & (scores > _SCORES[2])
                if own.any():
                    found[place] = _faces(group.windows[own], scores[own], shifts[own], landmarks[own])


def _least_face(height: int, width: int) -> float:
    """Side in pixels of the smallest face to look for, so that a panorama is searched as finely as any picture.

    It is no whole number, so that a photograph and its reduced copy are searched at the same sizes.
    """
    return max(20.0, math.sqrt(height * width) / 50)


def _batches(pictures: Sequence[NDArray[np.uint8]]) -> Iterator[list[int]]:
    """Places of pictures that are searched together: those of one size beside each other."""
    places = sorted(range(len(pictures)), key=lambda place: pictures[place].shape)
    return bunches(places, lambda place: pictures[place].shape[0] * pictures[place].shape[1], _MOST_PIXELS)


def _by_size(pictures: Sequence[NDArray[np.uint8]], places: list[int]) -> list[list[int]]:
    sizes: dict[tuple[int, ...], list[int]] = {}
    for place in places:
        sizes.setdefault(pictures[place].shape, []).append(place)
    return list(sizes.values())


def _in_batches(network: torch.nn.Module, groups: list[_Searched], side: int) -> list[Tensor]:
    """What a network says of the windows of all groups, one after the other."""
    patches = torch.cat([group.pyramid.patches(group.windows, group.rows, side) for group in groups])
    outputs = [network(patches[start : start + _BATCH]) for start in range(0, max(1, len(patches)), _BATCH)]
    return [torch.cat(parts) for parts in zip(*outputs, strict=True)]


def _split(values: Tensor, groups: list[_Searched]) -> list[Tensor]:
    """The values of each group's windows."""
    ends = np.cumsum([len(group.windows) for group in groups]).tolist()
    return [values[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _window_of(eyes: NDArray[np.float64]) -> Tensor:
    """The window (4,) that the last network would be shown of a face with these eyes."""
    distance = float(np.hypot(*(eyes[1] - eyes[0])))
    x, y = float(eyes[:, 0].mean()), float(eyes[:, 1].mean()) + _BELOW * distance
    half = _SIDE * distance / 2
    return torch.tensor([x - half, y - half, x + half, y + half], dtype=torch.float32)


def _faces(windows: Tensor, scores: Tensor, shifts: Tensor, landmarks: Tensor) -> list[Face]:
    sides = windows[:, 2:] - windows[:, :2]
    eyes = windows[:, None, :2] + landmarks[:, [0, 5, 1, 6]].view(-1, 2, 2) * sides[:, None]
    boxes = _moved(windows, shifts)
    kept = _without_inner(boxes, scores)
    found = zip(boxes[kept].tolist(), eyes[kept].tolist(), scores[kept].tolist(), strict=True)
    return largest_first([_face(box, both, score) for box, both, score in found])


def _face(box: list[float], eyes: list[list[float]], score: float) -> Face:
    left, top, right, bottom = (round(edge) for edge in box)
    first, second = sorted((x, y) for x, y in eyes)
    return Face(Box(left, top, max(1, right - left), max(1, bottom - top)), (first, second), score)


def _windows(places: Tensor, scores: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The windows (N, 4), in pixels of the level, that P-Net proposes; their scores (N,) and pictures (N,)."""
    corner = places[:, [2, 1]].float() * 2
    windows = torch.cat([corner, corner + _WINDOW], dim=1)
    return _moved(windows, shifts), scores, places[:, 0]


def _moved(windows: Tensor, shifts: Tensor) -> Tensor:
    """Windows (N, 4) with their edges moved by shifts (N, 4) in units of the windows' sides."""
    sides = (windows[:, 2:] - windows[:, :2]).repeat(1, 2)
    return windows + shifts * sides


def _squared(windows: Tensor) -> Tensor:
    """The squares with the same centres and the longer sides."""
    centre = (windows[:, :2] + windows[:, 2:]) / 2
    half = (windows[:, 2:] - windows[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def _without_inner(boxes: Tensor, scores: Tensor) -> list[int]:
    """The rows to keep: among boxes that share most of the smaller one's area, the best."""
    kept: list[int] = []
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    for row in scores.argsort(descending=True).tolist():
        corner = torch.maximum(boxes[row, :2], boxes[kept, :2])
        shared = (torch.minimum(boxes[row, 2:], boxes[kept, 2:]) - corner).clamp(min=0).prod(1)
        if not kept or bool((shared / torch.minimum(areas[row], areas[kept]) <= _OVERLAPS[3]).all()):
            kept.append(row)
    return kept
