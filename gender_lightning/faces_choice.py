"""The choices of `faces=`, for the schema and for `load`, which does without the schema's libraries."""

from __future__ import annotations

from typing import Literal

Faces = Literal["auto", "detect", "none"]
FacesOrViews = Literal["auto", "detect", "none", "tta"]
