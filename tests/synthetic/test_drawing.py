"""What is drawn is where, and what, the labels say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from gender_lightning.synthetic.drawing.attributes import NAMES, attributes
from gender_lightning.synthetic.drawing.painter import paint
from gender_lightning.synthetic.drawing.traits import Person, Picture, sample_person, sample_picture


def sample(seed: int) -> tuple[Person, Picture]:
    """A person, and a plain picture: frontal, sharp, evenly lit, nothing worn on the face."""
    rng = np.random.default_rng(seed)
    person = replace(sample_person(rng), hair_length="short", bangs=False, skin_tone=0.2, skin=(236.0, 192.0, 165.0))
    picture = replace(
        sample_picture(rng, person), yaw=0.0, roll=0.0, zoom=1.0, shift=(0.0, 0.0), exposure=1.0, tint=(1.0, 1.0, 1.0),
        light_azimuth=0.0, glasses="none", hat="none", beard="none", blur=0.0, noise=0.0, makeup=0.0, lipstick=None,
        mouth_open=0.0, smile=0.2, gaze=0.0, squint=0.0,
    )  # fmt: skip
    return person, picture


def grey(image: NDArray[np.uint8], x: slice, y: slice) -> float:
    return float(image[y, x].mean())


def truth(person: Person, picture: Picture, name: str) -> bool:
    return bool(attributes(person, picture)[NAMES.index(name)])


@pytest.mark.parametrize("seed", range(4))
def test_eyes_lie_where_celebas_do(seed: int) -> None:
    image, landmarks = paint(*sample(seed))
    assert landmarks[:4].tolist() == [69, 111, 109, 111]
    for x in (69, 109):
        iris = grey(image, slice(x - 2, x + 3), slice(109, 114))
        cheek = grey(image, slice(x - 2, x + 3), slice(124, 129))
        assert iris < cheek - 40


def test_painting_is_a_pure_function() -> None:
    person, picture = sample(5)
    assert (paint(person, picture)[0] == paint(person, picture)[0]).all()


def test_turning_moves_the_nose_that_way() -> None:
    person, picture = sample(1)
    right = paint(person, replace(picture, yaw=25.0))[1]
    left = paint(person, replace(picture, yaw=-25.0))[1]
    assert left[4] < 89 - 3 < 89 + 3 < right[4]
    assert left[:4].tolist() == right[:4].tolist()


def test_landmarks_follow_the_framing() -> None:
    person, picture = sample(1)
    moved = paint(person, replace(picture, shift=(4.0, -3.0)))[1]
    assert (moved.reshape(5, 2) - paint(person, picture)[1].reshape(5, 2) == (4, -3)).all()


def test_light_from_the_left_brightens_the_left_cheek() -> None:
    person, picture = sample(2)
    image, _ = paint(person, replace(picture, light_azimuth=-1.0, light_strength=1.0))
    assert grey(image, slice(55, 65), slice(122, 134)) > grey(image, slice(113, 123), slice(122, 134)) + 15


@pytest.mark.parametrize(
    ("name", "change", "x", "y"),
    [
        ("Eyeglasses", {"glasses": "sun"}, slice(60, 78), slice(104, 120)),
        ("Wearing_Hat", {"hat": "beanie"}, slice(70, 108), slice(55, 75)),
        ("Wearing_Lipstick", {"lipstick": (176.0, 32.0, 52.0)}, slice(78, 100), slice(148, 162)),
        ("Heavy_Makeup", {"makeup": 0.9}, slice(58, 80), slice(102, 110)),
        ("5_o_Clock_Shadow", {"beard": "stubble"}, slice(70, 108), slice(166, 174)),
        ("Goatee", {"beard": "goatee"}, slice(80, 98), slice(168, 176)),
        ("Mustache", {"beard": "moustache"}, slice(80, 98), slice(142, 150)),
        ("Mouth_Slightly_Open", {"mouth_open": 0.9}, slice(80, 98), slice(152, 164)),
    ],
)
def test_what_an_attribute_names_is_drawn(name: str, change: dict[str, object], x: slice, y: slice) -> None:
    person, picture = sample(3)
    other = replace(picture, **change)  # type: ignore[arg-type]
    assert not truth(person, picture, name)
    assert truth(person, other, name)
    difference = paint(person, picture)[0].astype(int) - paint(person, other)[0]
    assert np.abs(difference[y, x]).mean() > 8


def test_a_hat_hides_baldness_and_short_hairs_colour() -> None:
    person, picture = sample(3)
    person = replace(person, hair_colour="blond")
    assert truth(person, picture, "Blond_Hair")
    assert not truth(person, replace(picture, hat="cap"), "Blond_Hair")
    bald = replace(person, hair_length="bald")
    assert truth(bald, picture, "Bald")
    assert not truth(bald, replace(picture, hat="cap"), "Bald")
