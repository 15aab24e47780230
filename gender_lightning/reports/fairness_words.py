"""Fairness in sentences, for the page, the model card and the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gender_lightning.evaluation.measure import UNKNOWN, Measure
from gender_lightning.evaluation.statistics.proportions import FEWEST_PERSONS
from gender_lightning.evaluation.subgroups.fairness import (
    FEWEST_IMAGES,
    SIGNIFICANT,
    AttributeGap,
    Fairness,
    Gap,
    GroupScore,
)
from gender_lightning.evaluation.subgroups.group_words import attribute_in_words, in_words

_EQUAL = "just as often"


def fairness_sentences(fairness: Fairness, *, identified: bool = True) -> list[str]:
    """Answer "is it fair?", most important first.

    Args:
        fairness: What was measured.
        identified: Whether the persons are known.
    """
    found = [gap_sentence(fairness, identified=identified), _attributes(fairness)]
    found.append(_worst(fairness, identified=identified))
    found += [_per_person(fairness)] if identified else []
    return [sentence for sentence in found if sentence]


def gap_sentence(fairness: Fairness, *, identified: bool = True) -> str:
    """Which class is recognised less often, by how much, and what could not have been seen.

    Args:
        fairness: What was measured.
        identified: Whether the persons are known.
    """
    gap = fairness.recall_gap
    if math.isnan(gap.value):
        return "There are images of one class only, so that the two cannot be compared."
    side = _side(gap.value)
    here = f"on these images men are recognised {side} {'as' if side == _EQUAL else 'than'} women"
    if math.isnan(gap.low):
        who = "persons" if identified else "images"
        return f"{here[0].upper()}{here[1:]}; fewer than {FEWEST_PERSONS} {who} of a class are too few to say more."
    if gap.shown:
        who = "Men are" if gap.value < 0 else "Women are"
        return f"{who} recognised less often, by {_span(gap, sign=-1 if gap.value < 0 else 1)} points."
    return (
        f"It is not shown that men and women are recognised unequally often: {here}, but anything from "
        f"{_side(gap.low)} to {_side(gap.high)} would agree with these images. A gap below {_points(gap.detectable)} "
        "points could easily have stayed unseen here."
    )


def skin_tone(fairness: Fairness) -> str:
    """What the data can and cannot say about skin tone."""
    gap = next((found for found in fairness.attributes if found.attribute == "Pale_Skin"), None)
    if gap is None or fairness.pale_skin is None:
        return (
            "Skin tone: the data have no attribute of it, so that nothing is known here about how the model treats "
            "people of different skin tones. It takes faces labelled for it to find out."
        )
    told = [
        _told(gap.attribute, who, found) + ("" if is_sure(found) else ", which may be chance")
        for who, found in (("men", gap.male), ("women", gap.female))
        if not math.isnan(found.low)
    ]
    measured = "".join(f" {text[0].upper()}{text[1:]}." for text in told) or " They are too few to judge."
    return (
        f"Skin tone: CelebA has one attribute of it, Pale_Skin, and {count(fairness.pale_skin, 'image')} here have it."
        f"{measured} Those without it are of every other tone in any light, as annotators saw them: a gap would be a "
        "sign of trouble, but no gap is no proof of equal treatment. Faces labelled by a scale of skin tone (Monk, "
        "Fitzpatrick) are needed for that."
    )


def gap_text(gap: Gap) -> str:
    """`-3.1 (-6.0 to -0.4)` in points; a dash where there is nothing."""
    return UNKNOWN if math.isnan(gap.value) else _span(gap)


def empty_left_out(images: Sequence[int], noun: str) -> str:
    """One line on the groups without an image, which tables leave out; empty where there are none.

    Args:
        images: Number of images of each group.
        noun: What the groups are called: `slice`.
    """
    empty = sum(number == 0 for number in images)
    if not empty:
        return ""
    return (
        f"{empty} of {count(len(images), noun)} {'is' if empty == 1 else 'are'} left out, since no image here belongs "
        f"to {'it' if empty == 1 else 'them'}."
    )


def comparable(gaps: Sequence[AttributeGap]) -> list[AttributeGap]:
    """The gaps of those attributes that some but not all images have, in one class at least; in their order."""
    return [gap for gap in gaps if not (math.isnan(gap.male.value) and math.isnan(gap.female.value))]


def gaps_note(gaps: Sequence[AttributeGap], shown: Sequence[AttributeGap], *, identified: bool = True) -> str:
    """What to know of a table of gaps: which are left out, and why some have no interval; empty where all have one.

    Args:
        gaps: All of them.
        shown: Those of the table.
        identified: Whether the persons are known.
    """
    said = []
    if left := len(gaps) - len(comparable(gaps)):
        has = "attribute is" if left == 1 else "attributes are"
        said.append(f"{left} {has} left out, since within each class all images here have it, or none has.")
    values = [gap for row in shown for gap in (row.male, row.female)]
    if any(math.isnan(gap.low) and not math.isnan(gap.value) for gap in values):
        said.append(
            f"A number without an interval is not judged: {_fewer(identified)} of the class have the attribute, or are "
            "without it. Such gaps come last, whatever their size."
        )
    if any(math.isnan(gap.value) for gap in values):
        said.append(f"A dash ({UNKNOWN}): all images of the class have the attribute, or none has.")
    return " ".join(said)


def groups_note(groups: Sequence[GroupScore], *, identified: bool = True) -> str:
    """What to know of a table of groups: which are left out, which are not judged, and why some have no interval."""
    said = [empty_left_out([group.images for group in groups], "group")]
    if any(group.images and not group.judged for group in groups):
        said.append(
            f"Marked as small and not judged: groups of {_fewer(identified)}; with fewer than {FEWEST_PERSONS} "
            f"{'persons' if identified else 'images'} there is no interval either."
        )
    return " ".join(sentence for sentence in said if sentence)


def _fewer(identified: bool) -> str:
    return f"fewer than {FEWEST_IMAGES} images" + (f" or {FEWEST_PERSONS} persons" if identified else "")


def shown_gaps(fairness: Fairness) -> list[AttributeGap]:
    """The attributes with an interval in one class at least, the largest gap first."""
    return [gap for gap in fairness.attributes if not math.isnan(gap.size)]


def detectable(gap: AttributeGap) -> float:
    """The larger of what could have been shown in each class that has an interval; nan where neither has."""
    known = [found.detectable for found in (gap.male, gap.female) if not math.isnan(found.low)]
    return max(known, default=math.nan)


def is_sure(gap: Gap) -> bool:
    """Whether a gap is more than chance, counting all gaps that were tested."""
    return gap.p_holm < SIGNIFICANT


def count(number: int, noun: str) -> str:
    """`1 label`, `1,204 labels`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _attributes(fairness: Fairness) -> str:
    known = [
        (gap.attribute, who, found)
        for gap in fairness.attributes
        for who, found in (("men", gap.male), ("women", gap.female))
        if not math.isnan(found.low)
    ]
    if not known:
        return ""
    sure = [triple for triple in known if is_sure(triple[2])]
    largest = max(known, key=lambda triple: abs(triple[2].value))
    shown = max(sure or known, key=lambda triple: abs(triple[2].value))
    if largest[2].value == 0:
        return f"None of {count(len(known), 'gap')} by attribute within men or within women is different from 0."
    text = f"Of {count(len(known), 'gap')} by attribute within men or within women,"
    if not sure:
        return f"{text} none is beyond chance. The largest: {_told(*shown)}, which may be chance among so many."
    found = "1 is beyond chance:" if len(sure) == 1 else f"{len(sure)} are beyond chance, the largest of them:"
    larger = "" if shown is largest else f" A larger one may be chance among so many: {_told(*largest)}."
    return f"{text} {found} {_told(*shown)}.{larger}"


def _told(attribute: str, who: str, gap: Gap) -> str:
    """`women with lipstick are recognised more often than other women, by 17.6 (8.7 to 29.2) points`."""
    those = f"{who} {attribute_in_words(attribute)} are recognised"
    if _side(gap.value) == _EQUAL:
        return f"{those} {_EQUAL} as other {who} ({gap.measure.ends(1, 100)} points)"
    side, sign = ("more", 1) if gap.value > 0 else ("less", -1)
    return f"{those} {side} often than other {who}, by {_span(gap, sign=sign)} points"


def _worst(fairness: Fairness, *, identified: bool) -> str:
    worst = fairness.worst_group
    if worst is None:
        return ""
    whom = f" of {count(worst.persons, 'person')}" if identified else ""
    return (
        f"The lowest of all groups of label and one attribute, beyond chance or not: {in_words(worst.name)}, "
        f"{_percent(worst.accuracy)} of {count(worst.images, 'image')}{whom} right (groups of {_fewer(identified)} are "
        "not judged)."
    )


def _per_person(fairness: Fairness) -> str:
    found = fairness.per_person
    if any(math.isnan(measure.value) for measure in found.values()):
        return ""
    shares = (f"{who} {_percent(found[f'recall_{name}'])}" for name, who in (("male", "men"), ("female", "women")))
    return f"If every person counts once, however many images there are of them: {', '.join(shares)}."


def _span(gap: Gap, *, sign: int = 0) -> str:
    """A gap in points with its interval; with a sign, the gap times it."""
    value, ends = (sign or 1) * gap.value, sorted((sign or 1) * end for end in (gap.low, gap.high))
    text = _points(value, signed=not sign)
    return text if math.isnan(gap.low) else f"{text} ({_points(ends[0])} to {_points(ends[1])})"


def _side(gap: float) -> str:
    """`2.6 points more often`, `0.8 points less often`, or `just as often`."""
    size = _points(abs(gap))
    return _EQUAL if float(size) == 0 else f"{size} points {'more' if gap > 0 else 'less'} often"


def _points(share: float, *, signed: bool = False) -> str:
    text = f"{100 * share:+.1f}" if signed else f"{100 * share:.1f}"
    return text.lstrip("+-") if float(text) == 0 else text


def _percent(measure: Measure) -> str:
    value = f"{100 * measure.value:.1f}\u202f%"
    return f"{value} ({measure.ends(1, 100)})" if measure.ends() else value
