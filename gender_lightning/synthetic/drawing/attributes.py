"""CelebA's 40 attributes of a drawn face, read off the traits it was drawn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gender_lightning.synthetic.drawing.traits import Person, Picture

# In the order, and with the capitals, of list_attr_celeba.txt.
NAMES: tuple[str, ...] = (
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
)


def attributes(person: Person, picture: Picture) -> NDArray[np.bool_]:
    """Returns the 40 attributes in the order of `NAMES`, shape (40,).

    A thing is set when it is drawn (a hat hides bangs, hairline, baldness and short hair's colour). Matters of
    degree are cut where CelebA's annotators roughly would. `Attractive` has no truth in a drawing: by rule it is
    a young person, not chubby, without bags under the eyes, in a picture that is not blurred. `Young` is below 42.
    """
    values = {**_face(person, picture), **_hair(person, picture), **_worn(picture)}
    values["Attractive"] = values["Young"] and not (values["Chubby"] or values["Bags_Under_Eyes"] or values["Blurry"])
    assert values.keys() == set(NAMES)
    return np.array([values[name] for name in NAMES], np.bool_)


def _face(person: Person, picture: Picture) -> dict[str, bool]:
    eye = person.eye_opening * (1 - picture.squint) * (1 - 0.22 * picture.smile)
    return {
        "Male": person.male,
        "Young": person.age < 42,
        "Pale_Skin": person.skin_tone < 0.09,
        "Chubby": person.chubby > 0.55,
        "Double_Chin": has_double_chin(person),
        "Oval_Face": person.jaw < 0.82 and person.chubby < 0.4,
        "High_Cheekbones": person.cheekbone + 2.5 * picture.smile > 6.2,
        "Bags_Under_Eyes": person.bags > 0.3,
        "Arched_Eyebrows": person.brow_arch > 3.2,
        "Bushy_Eyebrows": person.brow_thickness > 4.3,
        "Narrow_Eyes": eye < 0.27,
        "Big_Nose": person.nose_width > 12.2,
        "Pointy_Nose": person.nose_width < 10.0 and person.nose_height > 6.3,
        "Big_Lips": person.lip_fullness > 6.6,
        "Smiling": picture.smile > 0.45,
        "Mouth_Slightly_Open": is_mouth_open(picture),
        "Rosy_Cheeks": picture.blush > 0.6,
        "5_o_Clock_Shadow": picture.beard == "stubble",
        "Goatee": picture.beard == "goatee",
        "Mustache": picture.beard in ("moustache", "full"),
        "No_Beard": picture.beard in ("none", "moustache"),
        "Blurry": picture.blur > 1.2,
    }


def _hair(person: Person, picture: Picture) -> dict[str, bool]:
    hatted = picture.hat != "none"
    bald = person.hair_length == "bald"
    visible = not bald and not (hatted and person.hair_length in ("buzz", "short"))
    return {
        "Bald": bald and not hatted,
        "Bangs": person.bangs and not hatted and not picture.updo,
        "Receding_Hairline": person.receding > 0.45 and not hatted and not bald and not person.bangs,
        "Sideburns": person.sideburns,
        "Black_Hair": visible and person.hair_colour == "black",
        "Blond_Hair": visible and person.hair_colour == "blond",
        "Brown_Hair": visible and person.hair_colour == "brown",
        "Gray_Hair": visible and person.hair_colour == "gray",
        "Straight_Hair": visible and person.hair_texture == "straight",
        "Wavy_Hair": visible and person.hair_texture == "wavy",
    }


def _worn(picture: Picture) -> dict[str, bool]:
    return {
        "Eyeglasses": picture.glasses != "none",
        "Wearing_Hat": picture.hat != "none",
        "Heavy_Makeup": picture.makeup > 0.5,
        "Wearing_Lipstick": picture.lipstick is not None,
        "Wearing_Earrings": picture.earrings != "none",
        "Wearing_Necklace": picture.necklace and picture.clothes in ("crew", "v", "straps"),
        "Wearing_Necktie": picture.tie is not None,
    }


def has_double_chin(person: Person) -> bool:
    """Whether the fold under the chin is drawn."""
    return person.chubby > 0.6


def is_mouth_open(picture: Picture) -> bool:
    """Whether the lips are drawn apart."""
    return picture.mouth_open > 0.25
