"""Detection and alignment, on a photograph that ships with matplotlib and on drawn places."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from gender_lightning.data.decoding import frame
from gender_lightning.data.framing import CELEBA, Framing, Placement
from gender_lightning.errors import UserError
from gender_lightning.inference.faces import yunet
from gender_lightning.inference.faces.alignment import align, is_framed
from gender_lightning.inference.faces.crops import TIGHT_EYES, Cropper, load_detector
from gender_lightning.inference.faces.face import Box, Face
from gender_lightning.inference.faces.mtcnn import Mtcnn
from gender_lightning.inference.faces.training_faces import measure_placement
from gender_lightning.models.checkpoints import weights

FRAMING = Framing(32)


@pytest.fixture(scope="module")
def mtcnn() -> Mtcnn:
    return Mtcnn()


class Fixed:
    """A detector that finds what it is told."""

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)
        self.asked = 0

    def detect(self, picture: np.ndarray) -> list[Face]:
        self.asked += 1
        return self.faces


def face(left: tuple[float, float], right: tuple[float, float]) -> Face:
    return Face(Box(0, 0, 50, 60), (left, right), 0.99)


def dots(height: int, width: int, places: Iterable[tuple[float, float]], radius: float) -> np.ndarray:
    """White discs on black."""
    y, x = np.mgrid[:height, :width] + 0.5
    inside = [np.hypot(x - px, y - py) <= radius for px, py in places]
    return np.repeat(np.any(inside, axis=0)[..., None].astype(np.uint8) * 255, 3, axis=2)


def centroid(picture: np.ndarray, side: slice) -> tuple[float, float]:
    grey = picture[:, side, 0].astype(float)
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]] + 0.5
    return float((grey * x).sum() / grey.sum()) + (side.start or 0), float((grey * y).sum() / grey.sum())


@pytest.mark.parametrize(
    "eyes", [((100.0, 240.0), (180.0, 240.0)), ((150.0, 120.0), (190.0, 160.0)), ((300.0, 90.0), (320.0, 80.0))]
)
def test_alignment_puts_the_eyes_where_celeba_has_them(eyes: tuple[tuple[float, float], tuple[float, float]]) -> None:
    distance = np.hypot(eyes[1][0] - eyes[0][0], eyes[1][1] - eyes[0][1])
    aligned = align(dots(400, 450, eyes, distance / 8), face(*eyes))
    assert aligned.shape == (218, 178, 3) and aligned.dtype == np.uint8
    for found, wanted in zip(
        (centroid(aligned, slice(0, 89)), centroid(aligned, slice(89, 178))), CELEBA.eyes, strict=True
    ):
        assert found == pytest.approx(wanted, abs=0.25)


@pytest.mark.parametrize(("above", "higher"), [(120.0, 0.0), (109.8, 2.0), (70.0, 6.0)])
def test_a_picture_that_ends_at_the_forehead_is_framed_lower(above: float, higher: float) -> None:
    """The canvas reaches 111.8 px above CelebA's eyes; of what is missing at most 6 px are spared."""
    eyes = ((80.0, above), (119.3, above))
    aligned = align(dots(300, 300, eyes, 5), face(*eyes))
    _, found = centroid(aligned, slice(0, 89))
    assert found == pytest.approx(CELEBA.eyes[0][1] - higher, abs=0.25)


def test_alignment_of_an_aligned_picture_changes_nothing_and_repeats_the_edge() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (218, 178, 3), dtype=np.uint8)
    assert np.abs(align(picture, face(*CELEBA.eyes)).astype(int) - picture).max() <= 1
    moved = align(
        picture, face((CELEBA.eyes[0][0] - 40, CELEBA.eyes[0][1]), (CELEBA.eyes[1][0] - 40, CELEBA.eyes[1][1]))
    )
    assert np.abs(moved[:, 45:].astype(int) - picture[:, 5:138]).max() <= 1
    assert np.abs(moved[:, :30].astype(int) - picture[:, :1]).max() <= 1


def test_the_photographs_face_is_found_anywhere_and_at_any_size(mtcnn: Mtcnn, hopper: np.ndarray) -> None:
    (found,) = mtcnn.detect(hopper)
    (left, right), box = found.eyes, found.box
    assert 205 < left[0] < 235 and 180 < left[1] < 205 and 295 < right[0] < 320 and 175 < right[1] < 200
    assert box.left < left[0] < right[0] < box.left + box.width and box.top < left[1] < box.top + box.height
    half = np.asarray(Image.fromarray(hopper).resize((256, 300)))
    canvas = np.full((700, 900, 3), 128, np.uint8)
    canvas[300:600, 500:756] = half
    (again,) = mtcnn.detect(canvas)
    expected = np.array(found.eyes) / 2 + (500, 300)
    assert np.abs(np.array(again.eyes) - expected).max() < 0.1 * found.eye_distance / 2
    assert mtcnn.detect(canvas[:250]) == []


def test_two_faces_come_the_larger_first(mtcnn: Mtcnn, hopper: np.ndarray) -> None:
    canvas = np.zeros((600, 800, 3), np.uint8)
    canvas[:300, :256] = np.asarray(Image.fromarray(hopper).resize((256, 300)))
    canvas[:, 288:] = hopper
    first, second = mtcnn.detect(canvas)
    assert first.box.left > 288 > second.box.left + second.box.width and first.eye_distance > second.eye_distance


def test_a_least_size_leaves_smaller_faces_out(hopper: np.ndarray) -> None:
    assert len(load_detector(min_face=100).detect(hopper)) == 1
    assert load_detector(min_face=400).detect(hopper) == []


def test_what_is_in_celebas_framing_is_used_as_it_is(hopper: np.ndarray, mtcnn: Mtcnn) -> None:
    (found,) = mtcnn.detect(hopper)
    aligned = align(hopper, found)
    (crop,) = Cropper(FRAMING, "auto", mtcnn).crops(aligned)
    assert crop.status == "crop" and np.array_equal(crop.pixels, frame(aligned, FRAMING))
    square = np.ascontiguousarray(aligned[20:198])  # another shape, the eyes where the network expects them
    (crop,) = Cropper(FRAMING, "auto", mtcnn).crops(square)
    assert crop.status == "crop" and np.array_equal(crop.pixels, frame(square, FRAMING))
    (crop,) = Cropper(FRAMING, "detect", mtcnn).crops(aligned)
    assert crop.status == "face"
    (crop,) = Cropper(FRAMING, "auto", mtcnn).crops(hopper)
    assert crop.status == "face" and np.abs(crop.pixels.astype(int) - frame(aligned, FRAMING)).max() == 0


@pytest.mark.parametrize(
    ("left", "right", "framed"),
    [
        ((69.5, 91.5), (107.5, 91.5), True), ((60.0, 91.5), (98.0, 91.5), True), ((40.0, 91.5), (78.0, 91.5), False),
        ((79.5, 91.5), (97.5, 91.5), False), ((58.0, 91.5), (119.0, 91.5), False),
        ((69.5, 81.5), (107.5, 101.5), False),
    ],
)  # fmt: skip
def test_where_the_eyes_decide(left: tuple[float, float], right: tuple[float, float], framed: bool) -> None:
    assert is_framed(face(left, right), 178, 178, FRAMING) == framed
    doubled = face((left[0] * 2, left[1] * 2), (right[0] * 2, right[1] * 2))
    assert is_framed(doubled, 356, 356, FRAMING) == framed


def test_a_picture_of_celebas_shape_is_judged_by_its_face() -> None:
    """A tight crop from the web may have CelebA's proportions, with the face twice as large."""
    large = face((45.0, 90.0), (135.0, 90.0))
    (crop,) = Cropper(FRAMING, "auto", Fixed(large)).crops(np.zeros((218, 178, 3), np.uint8))
    assert crop.status == "face"


def test_a_bystander_has_a_row_of_its_own_unless_the_picture_is_a_crop() -> None:
    both = Fixed(face(*CELEBA.eyes), face((140, 40), (152, 40)))
    (crop,) = Cropper(FRAMING, "auto", both).crops(np.zeros((218, 178, 3), np.uint8))
    assert crop.status == "crop"
    large = Fixed(*(face(*((5 * x, 5 * y) for x, y in found.eyes)) for found in both.faces))
    crops = Cropper(FRAMING, "auto", large).crops(np.zeros((1090, 890, 3), np.uint8))
    assert [crop.status for crop in crops] == ["crop", "face"]


def test_a_crop_is_confirmed_without_a_search(
    hopper: np.ndarray, mtcnn: Mtcnn, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = mtcnn.detect(hopper)
    tight = align(hopper, found, TIGHT)
    monkeypatch.setattr(mtcnn, "detect_reduced", lambda pictures, _: [[] for _ in pictures])
    for placement in (CELEBA, TIGHT):
        (crop,) = Cropper(FRAMING, "auto", mtcnn, placement).crops(align(hopper, found, placement))
        assert (crop.status, crop.note) == ("crop", "")
    (crop,) = Cropper(FRAMING, "auto", mtcnn).crops(tight)  # of another framing: it would be searched
    assert "no face found" in crop.note


def test_pictures_without_a_face() -> None:
    nothing = Fixed()
    small, large = np.zeros((200, 219, 3), np.uint8), np.zeros((600, 800, 3), np.uint8)
    (crop,) = Cropper(FRAMING, "auto", nothing).crops(small)
    assert crop.status == "crop" and "no face found" in crop.note
    assert Cropper(FRAMING, "auto", nothing).crops(large) == []
    assert Cropper(FRAMING, "detect", nothing).crops(small) == []
    assert Cropper(FRAMING, "none", nothing).crops(large)[0].box == Box(100, 0, 600, 600)


TIGHT = Placement(200, 200, ((60.0, 58.0), (138.0, 58.0)))  # of chips that show the face alone


def test_auto_obeys_where_the_training_faces_lay() -> None:
    chip = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    as_trained, as_celeba = face(*TIGHT.eyes), face((81, 91), (119, 91))
    for found, status in ((as_trained, "crop"), (as_celeba, "face")):
        (crop,) = Cropper(FRAMING, "auto", Fixed(found), TIGHT).crops(chip)
        assert crop.status == status
    aligned = align(dots(400, 450, ((150, 120), (190, 160)), 7), face((150, 120), (190, 160)), TIGHT)
    assert aligned.shape == (200, 200, 3)
    for found, wanted in zip(
        (centroid(aligned, slice(0, 100)), centroid(aligned, slice(100, 200))), TIGHT.eyes, strict=True
    ):
        assert found == pytest.approx(wanted, abs=0.5)


def test_pictures_are_used_as_they_are_where_the_training_pictures_were() -> None:
    detector = Fixed(face((300, 300), (340, 300)))
    photograph = np.random.default_rng(1).integers(0, 256, (600, 800, 3), dtype=np.uint8)
    cropper = Cropper(FRAMING, "auto", detector, None)
    (crop,) = cropper.crops(photograph)
    assert crop.status == "crop" and detector.asked == 0 and np.array_equal(crop.pixels, frame(photograph, FRAMING))
    assert "faces=detect" in cropper.remark and not Cropper(FRAMING, "none", detector, None).remark
    (crop,) = Cropper(FRAMING, "detect", detector, None).crops(photograph)
    assert np.array_equal(crop.pixels, frame(align(photograph, detector.faces[0]), FRAMING))


class Never:
    """A detector that must not be asked."""

    def detect(self, picture: np.ndarray) -> list[Face]:
        raise AssertionError


@pytest.mark.parametrize("size", [(200, 200), (260, 200), (50, 40)])
def test_a_face_that_fills_its_picture_gets_the_size_of_the_training_faces(size: tuple[int, int]) -> None:
    height, width = size
    picture = dots(height, width, [(x * width, y * height) for x, y in TIGHT_EYES], width / 20)
    cropper = Cropper(FRAMING, "tight", Never())
    (choice,) = cropper.choices(picture)
    aligned = cropper.aligned(picture, choice)
    for found, wanted in zip(
        (centroid(aligned, slice(0, 89)), centroid(aligned, slice(89, 178))), CELEBA.eyes, strict=True
    ):
        assert found[0] == pytest.approx(wanted[0], abs=1) and wanted[1] - 7 < found[1] < wanted[1] + 1
    (crop,) = cropper.crops(picture)
    assert (crop.status, crop.box) == ("crop", Box(0, 0, width, height))
    assert np.array_equal(crop.pixels, frame(aligned, FRAMING))
    assert bool(crop.note) == (width == 40)  # enlarged by more than 2: "small face"


def test_a_network_of_whole_pictures_knows_no_tight_crops() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (90, 60, 3), dtype=np.uint8)
    cropper = Cropper(FRAMING, "tight", Never(), None)
    (crop,) = cropper.crops(picture)
    assert np.array_equal(crop.pixels, frame(picture, FRAMING)) and "used as they are" in cropper.remark


class Sequence:
    """A detector that finds one thing after the other."""

    def __init__(self, found: list[list[Face]]) -> None:
        self.found = iter(found)

    def detect(self, picture: np.ndarray) -> list[Face]:
        return next(self.found)


@pytest.mark.parametrize("framing", [FRAMING, Framing(32, "none"), Framing(32, "lower", 0.8)])
def test_the_placement_of_training_pictures_of_any_size(framing: Framing) -> None:
    """Chips of one framing in several sizes, two without a face and two where something else was taken for one."""
    rng = np.random.default_rng(3)
    pictures, found = [], []
    for number in range(24):
        scale = (0.5, 1.0, 1.0, 2.0)[number % 4]
        pictures.append(np.zeros((round(240 * scale), round(200 * scale), 3), np.uint8))
        eyes = (np.array(((70, 100), (130, 100))) + rng.normal(0, 1.5, (2, 2))) * scale
        found.append([face(*map(tuple, eyes))] if number > 1 else [])
    found[2] = found[3] = [face((10, 10), (14, 10))]
    placement = measure_placement(pictures, framing, Sequence(found))
    assert placement is not None and (placement.height, placement.width) == (240, 200)
    assert np.abs(np.array(placement.eyes) - ((70, 100), (130, 100))).max() < 2


def test_training_pictures_without_a_common_place_are_used_as_they_are() -> None:
    rng = np.random.default_rng(3)
    pictures = [np.zeros((300, 400, 3), np.uint8)] * 20
    places = rng.uniform((0, 0), (360, 260), (20, 2))
    anywhere = [[face((x, y), (x + 30, y))] for x, y in places]
    assert measure_placement(pictures, FRAMING, Sequence(anywhere)) is None
    seldom = [[face((100, 100), (130, 100))]] * 8 + [[]] * 12
    assert measure_placement(pictures, FRAMING, Sequence(seldom)) is None
    assert measure_placement([], FRAMING, Sequence([])) is None


def test_a_small_face_is_said() -> None:
    picture = np.zeros((600, 800, 3), np.uint8)
    crops = Cropper(FRAMING, "detect", Fixed(face((100, 100), (118, 100)), face((300, 300), (340, 300)))).crops(picture)
    assert [crop.note for crop in crops] == ["small face: 18 px between the eyes", ""]


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(UserError, match="auto, detect, tight, none"):
        Cropper(FRAMING, "some")  # type: ignore[arg-type]


def test_yunet_reads_opencvs_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    seen: dict[str, object] = {}

    class Net:
        def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802
            seen["size"] = size

        def detect(self, picture: np.ndarray) -> tuple[int, np.ndarray | None]:
            seen["blue first"] = picture[0, 0].tolist()
            row = [100, 50, 60, 80, 150, 80, 120, 82, 130, 95, 145, 110, 122, 112, 0.97]
            return 1, np.array([row, [v / 2 for v in row[:14]] + [0.9]], np.float32)

    monkeypatch.setattr(cv2, "FaceDetectorYN", SimpleNamespace(create=lambda *a, **k: Net()))
    model = tmp_path / "yunet.onnx"
    model.write_bytes(b"weights")
    monkeypatch.setattr(yunet, "SHA256", hashlib.sha256(b"weights").hexdigest())
    picture = np.zeros((1920, 2560, 3), np.uint8)
    picture[..., 0] = 200
    detector = pickle.loads(pickle.dumps(load_detector(model)))
    first, second = detector.detect(picture)
    assert seen == {"size": (1280, 960), "blue first": [0, 0, 200]}
    assert first.box == Box(200, 100, 120, 160) and first.eyes == ((240, 164), (300, 160))
    assert first.score == pytest.approx(0.97) and second.box.width == 60
    assert len(load_detector(model, min_face=100).detect(picture)) == 1


def test_a_file_that_is_not_yunet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read.*onnx"):
        load_detector(tmp_path / "absent.onnx")
    for content, hint in ((b"other", "SHA-256"), (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer")):
        (tmp_path / "other.onnx").write_bytes(content)
        with pytest.raises(UserError, match=hint):
            load_detector(tmp_path / "other.onnx")


def test_yunet_is_fetched_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked = []

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        (tmp_path / file).write_bytes(b"weights")
        return str(tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repository, file: None)
    monkeypatch.setattr(weights, "_hub_answers", lambda: True)
    with pytest.raises(UserError, match="SHA-256"):
        load_detector("yunet")
    monkeypatch.setattr(yunet, "SHA256", hashlib.sha256(b"weights").hexdigest())
    assert load_detector("yunet").model == tmp_path / yunet.FILE  # type: ignore[attr-defined]
    assert asked == [("opencv/face_detection_yunet", "face_detection_yunet_2023mar.onnx")] * 2
    cached = str(tmp_path / yunet.FILE)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repository, file: cached)
    monkeypatch.setattr(weights, "_hub_answers", lambda: pytest.fail("what is cached asks nobody"))
    load_detector("yunet")
    assert len(asked) == 2


def test_yunet_without_a_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))  # empty
    monkeypatch.setattr(weights, "_hub_answers", lambda: False)
    with pytest.raises(UserError, match=r"could not be downloaded \(.+\).*face_model=PATH"):
        load_detector("yunet")


def test_real_faces_have_their_eyes_where_alignment_puts_them(mtcnn: Mtcnn) -> None:
    root = Path(os.environ.get("CELEBA_MINI", Path(__file__).parents[3] / "shared" / "celeba-mini"))
    if not (root / "list_eval_partition.txt").is_file():
        pytest.skip("celeba-mini is not there: set CELEBA_MINI")
    lines = (root / "list_eval_partition.txt").read_text().splitlines()
    names = [line.split()[0] for line in lines if line.endswith(" 0")][:100]
    eyes = []
    for name in names:
        picture = np.asarray(Image.open(root / "img_align_celeba" / name).convert("RGB"))
        found = mtcnn.detect(picture)
        assert len(found) <= 1
        eyes += [np.array(face.eyes) * (178 / picture.shape[1]) for face in found]
    assert len(eyes) >= 95
    distance = np.median([np.hypot(*(right - left)) for left, right in eyes])
    assert distance == pytest.approx(CELEBA.eye_distance, rel=0.015)
    assert np.abs(np.median(eyes, axis=0) - CELEBA.eyes).max() < 0.75  # px of 178 x 218


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_picture_on_its_side(hopper: np.ndarray, turns: int) -> None:
    plain, turning = load_detector(), load_detector(rotate=True)
    (upright,) = plain.detect(hopper)
    assert turning.detect(hopper) == [upright]
    turned = np.ascontiguousarray(np.rot90(hopper, turns))
    (face,) = turning.detect(turned)
    expected, found = align(hopper, upright, CELEBA).astype(float), align(turned, face, CELEBA).astype(float)
    assert np.abs(expected - found).mean() < 2  # the same face, upright
    box = face.box
    inside = turned[box.top : box.top + box.height, box.left : box.left + box.width]
    own = upright.box
    other = hopper[own.top : own.top + own.height, own.left : own.left + own.width]
    np.testing.assert_array_equal(inside, np.rot90(other, turns))


def test_faces_of_a_panorama(hopper: np.ndarray) -> None:
    """A strip four faces wide and fifty faces long: its area decides how small a face is looked for."""
    small = np.array(Image.fromarray(hopper).resize((128, 150)))
    strip = np.full((150, 6000, 3), 128, np.uint8)
    for place in range(5):
        strip[:, 1000 * place + 300 : 1000 * place + 428] = small
    assert len(load_detector().detect(strip)) == 5
