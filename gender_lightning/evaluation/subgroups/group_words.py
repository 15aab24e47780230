"""Groups and slices in English: `female Heavy_Makeup=0` is "women without heavy make-up"."""

from __future__ import annotations

# CelebA's attributes: words for those who have it, and for those who do not, after "men", "women" or "faces"
_WITH = {
    "5_o_Clock_Shadow": "a five-o'clock shadow", "Arched_Eyebrows": "arched eyebrows",
    "Bags_Under_Eyes": "bags under the eyes", "Bangs": "bangs", "Big_Lips": "big lips", "Big_Nose": "a big nose",
    "Black_Hair": "black hair", "Blond_Hair": "blond hair", "Brown_Hair": "brown hair",
    "Bushy_Eyebrows": "bushy eyebrows", "Double_Chin": "a double chin", "Eyeglasses": "glasses", "Goatee": "a goatee",
    "Gray_Hair": "grey hair", "Heavy_Makeup": "heavy make-up", "High_Cheekbones": "high cheekbones",
    "Mustache": "a moustache", "Narrow_Eyes": "narrow eyes", "Oval_Face": "an oval face", "Pale_Skin": "pale skin",
    "Pointy_Nose": "a pointed nose", "Receding_Hairline": "a receding hairline", "Rosy_Cheeks": "rosy cheeks",
    "Sideburns": "sideburns", "Straight_Hair": "straight hair", "Wavy_Hair": "wavy hair",
    "Wearing_Earrings": "earrings", "Wearing_Hat": "a hat", "Wearing_Lipstick": "lipstick",
    "Wearing_Necklace": "a necklace", "Wearing_Necktie": "a necktie",
}  # fmt: skip
_OTHERWISE = {
    "Attractive": ("labelled attractive", "not labelled attractive"),
    "Bald": ("who are bald", "who are not bald"),
    "Blurry": ("in blurred pictures", "in pictures that are not blurred"),
    "Chubby": ("who are chubby", "who are not chubby"),
    "Mouth_Slightly_Open": ("with the mouth slightly open", "with the mouth closed"),
    "No_Beard": ("without a beard", "with a beard"),
    "Smiling": ("who smile", "who do not smile"),
    "Young": ("labelled young", "not labelled young"),
}
_MEASURED = {
    "dark": "dark pictures", "bright": "bright pictures", "low contrast": "pictures of low contrast",
    "high contrast": "pictures of high contrast", "side light": "faces lit from one side",
    "frontal": "frontal faces", "profile": "faces turned to the side", "tilted": "tilted heads",
    "small face": "small faces", "large face": "large faces", "unsharp": "unsharp pictures",
    "sharp": "sharp pictures",
}  # fmt: skip
_CLASSES = {"male": "men", "female": "women"}
# What a gap is, in the same words wherever one is shown: a difference of two recalls
GAP_OF_CLASSES = "how much more often men are recognised than women, in points (minus: less often)"
GAP_OF_ATTRIBUTE = (
    "how much more often those with the attribute are recognised than others of their class, in points (minus: less "
    "often)"
)
LARGER_GAP = (
    "the larger of the two in size (the equalised-odds difference), which is never negative, so that chance alone "
    "makes it positive"
)


def in_words(name: str) -> str:
    """The name of a slice or group in English.

    Args:
        name: Name of the slice, such as `dark`, `Eyeglasses=1`, `female Young=0 Heavy_Makeup=1`.

    Example:
        >>> in_words("female Young=0 Heavy_Makeup=1")
        'women not labelled young and with heavy make-up'
    """
    if name in _MEASURED:
        return _MEASURED[name]
    first, *others = name.split(" ")
    conditions = others if first in _CLASSES else [first, *others]
    if not all(part.endswith(("=0", "=1")) for part in conditions):
        return name
    told = [_condition(part[:-2], part.endswith("=1")) for part in conditions]
    return " ".join([_CLASSES.get(first, "faces"), " and ".join(told)]).strip()


def group_in_words(name: str) -> str:
    """The name of a group of `data.groups` in English.

    Example:
        >>> group_in_words("female without Wearing_Lipstick with Eyeglasses")
        'women without lipstick and with glasses'
    """
    first, *others = name.split(" ")
    if first not in _CLASSES or (len(others) % 2 and others != ["rest"]):
        return name
    if others == ["rest"]:
        return f"other {_CLASSES[first]}"
    pairs = zip(others[1::2], others[::2], strict=True)
    told = [_condition(attribute, word == "with") for attribute, word in pairs]
    return " ".join([_CLASSES[first], " and ".join(told)]).strip()


def attribute_in_words(name: str) -> str:
    """An attribute in English, as for `in_words`: `with glasses`, `who smile`."""
    return _condition(name, True)


def rest_in_words(rest: str) -> str:
    """What a slice is compared with: `other females` is "other women"."""
    return {"other males": "other men", "other females": "other women"}.get(rest, rest)


def _condition(attribute: str, value: bool) -> str:
    if attribute in _WITH:
        return f"{'with' if value else 'without'} {_WITH[attribute]}"
    if attribute in _OTHERWISE:
        return _OTHERWISE[attribute][0 if value else 1]
    return f"with {attribute}={int(value)}"
