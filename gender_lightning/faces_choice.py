"""The choices of `faces=`, for the schema and for `load`, which does without the schema's libraries."""

from __future__ import annotations

from typing import Literal

FacesInTraining = Literal["auto", "detect", "none"]
Faces = Literal["auto", "detect", "tight", "none"]
FacesOrViews = Literal["auto", "detect", "tight", "none", "tta"]
WITHOUT_DETECTOR = ("tight", "none")
