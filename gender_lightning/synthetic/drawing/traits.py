"""What a synthetic face looks like, as numbers: a person's traits, and one picture's.

Every class-dependent trait overlaps between the classes: bone structure by normal distributions whose means
lie about 0.6 standard deviations apart, the rest (hair, beard, make-up, jewellery, clothes) by frequencies.
Only facial hair is found in one class alone, and only in a part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

MALE_FRACTION = 0.42  # CelebA: 0.4168
_SEPARATION = 0.6  # of the classes' means, against the typical faces': sets how hard the data set is

Colour = tuple[float, float, float]  # RGB, 0..255

HAIR_COLOURS: dict[str, Colour] = {
    "black": (44, 37, 36),
    "brown": (104, 69, 46),
    "blond": (206, 166, 104),
    "red": (126, 66, 42),
    "gray": (166, 164, 162),
}
_SKIN = np.array(
    [(250, 221, 206), (240, 200, 175), (222, 174, 143), (190, 136, 103), (142, 96, 70), (98, 64, 48)], np.float64
)
_IRIS: tuple[Colour, ...] = ((82, 54, 34), (60, 38, 26), (98, 120, 132), (84, 112, 142), (96, 110, 72), (112, 84, 52))

_LIPSTICKS: tuple[Colour, ...] = ((176, 32, 52), (204, 74, 96), (160, 64, 70), (214, 110, 112), (120, 28, 52))
_EYESHADOWS: tuple[Colour, ...] = ((96, 70, 66), (70, 66, 84), (120, 84, 90), (60, 50, 50))

# How often what is worn, by class (True: male).
_CLOTHES = {
    True: {"crew": 0.28, "v": 0.12, "suit": 0.30, "shirt": 0.28, "straps": 0.02},
    False: {"crew": 0.27, "v": 0.24, "suit": 0.08, "shirt": 0.11, "straps": 0.30},
}
_HATS = {
    True: {"none": 0.92, "beanie": 0.03, "cap": 0.03, "brim": 0.02},
    False: {"none": 0.955, "beanie": 0.015, "cap": 0.01, "brim": 0.02},
}
_EARRINGS = {
    True: {"none": 0.96, "stud": 0.03, "hoop": 0.01},
    False: {"none": 0.56, "stud": 0.14, "hoop": 0.14, "drop": 0.16},
}
_GLASSES = {"thin": 0.34, "thick": 0.3, "round": 0.16, "sun": 0.2}
_BACKGROUNDS = {"plain": 0.2, "gradient": 0.25, "blobs": 0.35, "bars": 0.2}


@dataclass(frozen=True)
class Person:
    """What stays the same in every picture of one identity. Lengths in pixels of the 178x218 picture."""

    male: bool
    age: float  # years, 18..80
    skin_tone: float  # 0 (palest) .. 1 (darkest)
    skin: Colour
    iris: Colour
    face_width: float  # half-width at the cheekbones
    jaw: float  # half-width at the jaw's angle, as a fraction of face_width
    chin_width: float
    chin_y: float
    skull_top: float  # y of the skull's top, hair apart
    hairline: float  # y of the hairline's middle
    receding: float  # 0..1: how far the hairline's corners have gone
    chubby: float  # 0..1
    brow_ridge: float
    brow_thickness: float
    brow_height: float  # brow above the eye
    brow_arch: float
    eye_size: float
    eye_opening: float  # height of the lids' opening over its width
    eye_tilt: float
    nose_width: float
    nose_tip_y: float
    nose_height: float  # how far the bridge stands out
    lip_fullness: float
    mouth_width: float  # half-width
    mouth_y: float
    cheekbone: float
    neck_width: float
    hair_colour: str
    hair: Colour
    hair_texture: str  # straight, wavy, curly
    hair_length: str  # bald, buzz, short, medium, long
    hair_volume: float
    part: float  # where the parting lies, -1..1
    bangs: bool
    beard: str  # none, stubble, moustache, goatee, full
    sideburns: bool
    glasses_habit: float
    makeup_habit: float
    bags: float
    texture: float  # roughness of the skin


@dataclass(frozen=True)
class Picture:
    """What changes from one picture of a person to the next."""

    seed: int  # for strokes, textures and noise
    yaw: float  # degrees, positive: towards the picture's right
    roll: float  # degrees
    zoom: float
    shift: tuple[float, float]
    light_azimuth: float  # -1 (from the left) .. 1
    light_height: float
    light_strength: float  # 0 (flat) .. 1 (hard)
    exposure: float
    tint: Colour  # multiplies the picture, about 1
    smile: float  # 0..1
    mouth_open: float  # 0..1
    gaze: float
    squint: float
    beard: str
    makeup: float  # 0..1
    lipstick: Colour | None
    eyeshadow: Colour
    blush: float
    updo: bool
    earrings: str  # none, stud, hoop, drop
    necklace: bool
    glasses: str  # none, thin, thick, round, sun
    hat: str  # none, beanie, cap, brim
    hat_colour: Colour
    clothes: str  # crew, v, suit, shirt, straps
    clothes_colour: Colour
    tie: Colour | None
    background: str  # plain, gradient, blobs, bars
    background_colours: tuple[Colour, Colour, Colour]
    blur: float  # sigma in pixels
    noise: float  # sigma, of 255
    quality: int  # JPEG


def sample_person(rng: Generator) -> Person:
    """Draws a person: the class first, then everything that depends on it."""
    male = bool(rng.random() < MALE_FRACTION)
    age = float(np.clip(rng.gamma(5.0, 5.2 if male else 4.4) + 14, 18, 80))
    tone = float(np.clip(rng.beta(1.5, 2.6), 0, 1))
    chubby = float(np.clip(rng.normal(0.22, 0.26), 0, 1))
    colour = _hair_colour(rng, tone, age, male)
    length = _hair_length(rng, male, age)
    bald = length == "bald"
    return Person(
        male=male,
        age=age,
        skin_tone=tone,
        skin=_skin(rng, tone),
        iris=_iris(rng, tone),
        chubby=chubby,
        face_width=_between(rng, male, 42.2, 44.6, 1.9) + 3.0 * chubby,
        jaw=_between(rng, male, 0.765, 0.845, 0.05) + 0.05 * chubby,
        chin_width=_between(rng, male, 11.0, 15.0, 2.6),
        chin_y=_between(rng, male, 173.5, 178.5, 3.4),
        skull_top=float(rng.normal(50, 2.5)),
        hairline=_between(rng, male, 80.0, 78.0, 3.0),
        receding=float(np.clip(rng.normal((age - 45) / 45 if male else -0.3, 0.3), 0, 1)),
        brow_ridge=_between(rng, male, 0.9, 2.6, 0.9),
        brow_thickness=float(np.clip(_between(rng, male, 2.6, 4.0, 0.8), 1.3, 7)),
        brow_height=_between(rng, male, 15.6, 13.2, 1.5),
        brow_arch=_between(rng, male, 3.3, 1.6, 1.2),
        eye_size=_between(rng, male, 11.6, 10.7, 0.6),
        eye_opening=float(np.clip(_between(rng, male, 0.43, 0.36, 0.05), 0.22, 0.56)),
        eye_tilt=_between(rng, male, 1.0, 0.2, 0.9),
        nose_width=_between(rng, male, 9.6, 11.3, 1.2) + 1.6 * tone,
        nose_tip_y=_between(rng, male, 135.0, 137.0, 1.8),
        nose_height=_between(rng, male, 6.0, 7.6, 1.2),
        lip_fullness=float(np.clip(_between(rng, male, 6.3, 4.8, 1.0) + 1.2 * tone, 2.4, 9)),
        mouth_width=_between(rng, male, 17.6, 18.8, 1.4),
        mouth_y=_between(rng, male, 153.5, 155.0, 1.5),
        cheekbone=_between(rng, male, 5.2, 4.2, 1.0),
        neck_width=_between(rng, male, 27.5, 32.0, 2.4) + 3 * chubby,
        hair_colour=colour,
        hair=_vary(rng, HAIR_COLOURS[colour], 0.14),
        hair_texture=_hair_texture(rng, tone, male),
        hair_length=length,
        hair_volume=float(np.clip(rng.normal(0.55, 0.27), 0.05, 1.2)),
        part=float(rng.uniform(-0.75, 0.75)),
        bangs=not bald and bool(rng.random() < (0.14 if male else 0.24)),
        beard=_pick(rng, {"none": 0.47, "stubble": 0.20, "moustache": 0.06, "goatee": 0.09, "full": 0.18})
        if male
        else "none",
        sideburns=male and not bald and bool(rng.random() < 0.25),
        glasses_habit=float(rng.choice([0.02, 0.6], p=[0.88, 0.12] if not male else [0.82, 0.18])),
        makeup_habit=float(rng.beta(1.6, 1.2)) if not male else 0.0,
        bags=float(np.clip(rng.normal((age - 32) / 40, 0.3), 0, 1)),
        texture=float(np.clip(_between(rng, male, 0.35, 0.6, 0.2) + (age - 35) / 90, 0.05, 1.3)),
    )


def sample_picture(rng: Generator, person: Person) -> Picture:
    """Draws one picture of a person: pose, light, expression, what is worn, the camera."""
    male = person.male
    made_up = rng.random() < person.makeup_habit
    makeup = float(np.clip(rng.normal(0.6, 0.22), 0.15, 1)) if made_up else 0.0
    painted = rng.random() < (0.85 if made_up else 0.06) if not male else rng.random() < 0.008
    clothes = _pick(rng, _CLOTHES[male])
    smile = float(np.clip(rng.normal(0.45 if male else 0.58, 0.4), 0, 1))
    hat = _pick(rng, _HATS[male])
    glasses = _pick(rng, _GLASSES) if rng.random() < person.glasses_habit else "none"
    tied = clothes == "suit" and male and rng.random() < 0.6
    warm = float(rng.normal(0, 0.035))
    return Picture(
        seed=int(rng.integers(2**31)),
        yaw=float(np.clip(rng.normal(0, 13), -36, 36)),
        roll=float(np.clip(rng.normal(0, 2.0), -6, 6)),
        zoom=float(np.clip(rng.normal(1.0, 0.03), 0.9, 1.1)),
        shift=(float(rng.normal(0, 1.3)), float(rng.normal(0, 1.3))),
        light_azimuth=float(np.clip(rng.normal(0, 0.55), -1.2, 1.2)),
        light_height=float(rng.normal(0.36, 0.22)),
        light_strength=float(rng.beta(2.0, 2.0)),
        exposure=float(np.clip(rng.normal(1.0, 0.13), 0.6, 1.35)),
        tint=(1 + warm, 1 + float(rng.normal(0, 0.012)), 1 - warm),
        smile=smile,
        mouth_open=float(np.clip(rng.normal(0.75 * smile - 0.1, 0.3), 0, 1)),
        gaze=float(np.clip(rng.normal(0, 0.3), -0.8, 0.8)),
        squint=float(np.clip(rng.normal(0, 0.12), -0.15, 0.4)),
        beard=_beard_today(rng, person.beard),
        makeup=makeup,
        lipstick=_vary(rng, _LIPSTICKS[int(rng.integers(len(_LIPSTICKS)))], 0.12) if painted else None,
        eyeshadow=_vary(rng, _EYESHADOWS[int(rng.integers(len(_EYESHADOWS)))], 0.15),
        blush=makeup * float(rng.uniform(0, 1)) + float(rng.uniform(0, 0.25)),
        updo=person.hair_length in ("medium", "long") and bool(rng.random() < (0.3 if male else 0.2)),
        earrings=_pick(rng, _EARRINGS[male]),
        necklace=bool(rng.random() < (0.03 if male else 0.24)),
        glasses=glasses,
        hat=hat,
        hat_colour=_any_colour(rng),
        clothes=clothes,
        clothes_colour=_any_colour(rng) if clothes != "suit" else _vary(rng, (48, 50, 60), 0.4),
        tie=_any_colour(rng) if tied else None,
        background=_pick(rng, _BACKGROUNDS),
        background_colours=(_any_colour(rng), _any_colour(rng), _any_colour(rng)),
        blur=_blur(rng),
        noise=float(rng.gamma(1.5, 1.6)),
        quality=int(rng.integers(78, 96)),
    )


def _between(rng: Generator, male: bool, female: float, men: float, sd: float) -> float:
    """A trait whose typical woman's and man's values are given; persons spread so that the classes overlap."""
    middle, half = (female + men) / 2, (men - female) / 2
    return float(rng.normal(middle + _SEPARATION * (half if male else -half), sd))


def _pick(rng: Generator, weights: dict[str, float]) -> str:
    names = list(weights)
    cumulative = np.cumsum([weights[name] for name in names])
    return names[int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))]


def _vary(rng: Generator, colour: Colour, amount: float) -> Colour:
    gain = float(np.exp(rng.normal(0, amount)))
    red, green, blue = (float(np.clip(channel * gain * (1 + rng.normal(0, amount / 4)), 4, 250)) for channel in colour)
    return red, green, blue


def _any_colour(rng: Generator) -> Colour:
    level = rng.uniform(15, 235)
    red, green, blue = (float(c) for c in np.clip(level + rng.normal(0, 8 + 26 * rng.random() ** 2, 3), 5, 250))
    return red, green, blue


def _skin(rng: Generator, tone: float) -> Colour:
    position = tone * (len(_SKIN) - 1)
    red, green, blue = (float(np.interp(position, np.arange(len(_SKIN)), _SKIN[:, channel])) for channel in range(3))
    warmth = float(rng.normal(0, 0.02))
    return red * (1 + warmth / 2), green, blue * (1 - warmth)


def _iris(rng: Generator, tone: float) -> Colour:
    dark = rng.random() < 0.35 + tone
    return _IRIS[int(rng.integers(2 if dark else len(_IRIS)))]


def _hair_colour(rng: Generator, tone: float, age: float, male: bool) -> str:
    if rng.random() < np.clip((age - 42) / 40, 0, 0.85) * (1.0 if male else 0.5):
        return "gray"
    if tone > 0.55:
        return _pick(rng, {"black": 0.86, "brown": 0.12, "blond": 0.02})
    if male:
        return _pick(rng, {"black": 0.34, "brown": 0.44, "blond": 0.15, "red": 0.05})
    return _pick(rng, {"black": 0.26, "brown": 0.36, "blond": 0.30, "red": 0.05})


def _hair_length(rng: Generator, male: bool, age: float) -> str:
    if male:
        bald = float(np.clip((age - 30) / 180, 0.01, 0.22))
        return _pick(rng, {"bald": bald, "buzz": 0.14, "short": 0.52, "medium": 0.17, "long": 0.12})
    return _pick(rng, {"bald": 0.004, "buzz": 0.03, "short": 0.25, "medium": 0.28, "long": 0.44})


def _hair_texture(rng: Generator, tone: float, male: bool) -> str:
    curly = 0.06 + 0.45 * float(tone > 0.6)
    return _pick(rng, {"straight": 0.55, "wavy": 0.25 if male else 0.40, "curly": curly})


def _beard_today(rng: Generator, usual: str) -> str:
    if usual == "none" or rng.random() < 0.85:
        return usual
    return "none" if usual == "stubble" else "stubble"


def _blur(rng: Generator) -> float:
    if rng.random() < 0.07:
        return float(rng.uniform(1.3, 2.4))
    return float(rng.uniform(0.0, 0.7))
