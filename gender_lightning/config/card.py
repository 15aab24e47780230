"""What the owner of a model says on its card."""

from __future__ import annotations

from pydantic import Field

from gender_lightning.config.base import Section


class CardConfig(Section):
    """What a model card says that nothing in a run knows."""

    contact: str | None = Field(description="whom to ask or to complain to: a name, an address; null: said to be open")
    citation: str | None = Field(description="how to cite the model; null: none")
    license: str | None = Field(
        description="licence of the weights, by its identifier on the Hugging Face hub (cc-by-nc-4.0); null: said to "
        "be undecided"
    )
