"""Light and pose of pictures and points whose answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from gender_lightning.evaluation.subgroups.properties import FROM_PIXELS, measure_landmarks, measure_pixels


def measured(picture: np.ndarray) -> dict[str, float]:
    images = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].to(torch.uint8)
    return dict(zip(FROM_PIXELS, measure_pixels(images)[0].tolist(), strict=True))


def texture(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 190, (50, 50, 3)).astype(np.uint8)


def test_a_grey_picture() -> None:
    found = measured(np.full((40, 40, 3), 102))
    assert found["brightness"] == pytest.approx(0.4)
    assert [found[name] for name in ("contrast", "sharpness", "side_light")] == pytest.approx([0, 0, 0], abs=1e-6)


def test_brightness_and_contrast_are_opencvs() -> None:
    grey = cv2.cvtColor(texture(), cv2.COLOR_RGB2GRAY)[10:40, 10:40] / 255
    found = measured(texture())
    assert found["brightness"] == pytest.approx(grey.mean(), abs=2e-3)
    assert found["contrast"] == pytest.approx(grey.std(), abs=2e-3)
    edges = cv2.Laplacian(cv2.cvtColor(texture(), cv2.COLOR_RGB2GRAY).astype(np.float64), cv2.CV_64F)[11:39, 11:39]
    expected = ((edges / 255) ** 2).mean() / grey.var()
    assert found["sharpness"] == pytest.approx(expected, rel=0.02)


def test_light_from_a_side_has_its_sign() -> None:
    picture = np.full((50, 50, 3), 60)
    picture[:, 25:] = 180
    assert measured(picture)["side_light"] == pytest.approx(0.5)
    assert measured(picture[:, ::-1])["side_light"] == pytest.approx(-0.5)


def test_blur_takes_sharpness_and_a_lower_contrast_does_not() -> None:
    sharp = measured(texture())["sharpness"]
    assert measured(cv2.GaussianBlur(texture(), (0, 0), 2))["sharpness"] < 0.2 * sharp
    assert measured(texture() // 2 + 60)["sharpness"] == pytest.approx(sharp, rel=0.05)


def points(turn: float = 0.0, tilt: float = 0.0, size: float = 40.0) -> np.ndarray:
    face = np.array([[-20.0, 0.0], [20.0, 0.0], [turn * 40.0, size / 2], [-15.0, size], [15.0, size]])
    angle = np.radians(tilt)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (face @ rotation.T * 10 + 900).round().astype(np.int16).reshape(1, 10)


@pytest.mark.parametrize("turn", [-0.3, 0.0, 0.25])
@pytest.mark.parametrize("tilt", [-20.0, 0.0, 12.0])
def test_turn_and_tilt_do_not_mix(turn: float, tilt: float) -> None:
    found = measure_landmarks(points(turn, tilt))
    assert found["head_turn"][0] == pytest.approx(turn, abs=0.005)
    assert found["head_tilt"][0] == pytest.approx(tilt, abs=0.2)
    assert found["face_size"][0] == pytest.approx(400, abs=1.5)


def test_points_that_coincide_say_nothing() -> None:
    found = measure_landmarks(np.zeros((1, 10), np.int16))
    assert np.isnan(found["head_turn"][0]) and np.isnan(found["head_tilt"][0])
