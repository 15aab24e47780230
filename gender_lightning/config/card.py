"""The entries of a model card that its owner provides."""

from __future__ import annotations

from pydantic import Field

from gender_lightning.config.base import Section


class CardConfig(Section):
    """The entries of a model card that a run does not know."""

    contact: str | None = Field(
        description="contact for questions and complaints, a name or an address; null: reported as missing"
    )
    citation: str | None = Field(description="how to cite the model; null: none")
    license: str | None = Field(
        description="licence of the weights, by its identifier on the Hugging Face hub (cc-by-nc-4.0); null: reported "
        "as undecided"
    )
