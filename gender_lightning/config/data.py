"""`conf/data/`: where faces come from, how they are framed, split and loaded."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gender_lightning.config.base import Auto, Count, Section


class Sizes(Section):
    """Images per split: counts (`4000`), or fractions of all (`0.8`)."""

    train: int | float = Field(ge=0, le=10**9)
    valid: int | float = Field(ge=0, le=10**9)
    test: int | float = Field(ge=0, le=10**9)

    @model_validator(mode="after")
    def _one_kind(self) -> Sizes:
        values = (self.train, self.valid, self.test)
        kinds = {type(value) for value in values if value != 0}
        if len(kinds) > 1:
            raise ValueError("must be three counts (4000) or three fractions (0.8), not a mixture")
        if kinds == {float} and sum(values) > 1 + 1e-9:
            raise ValueError(f"fractions add up to {sum(values):g}, which is more than 1")
        return self


class _Data(Section):
    root: str = Field(min_length=1, description="folder that holds the images and label files")
    image_size: Annotated[int, Field(ge=16, le=2048)] = Field(description="side of the model's square input, px")
    batch_size: Count = Field(description="images per device and step")
    eval_batch_size: Count | Auto = Field(description="images per device when nothing is learned")
    workers: Annotated[int, Field(ge=0, le=256)] | Auto = Field(description="loader processes per device")
    prefetch: Count | Auto = Field(description="batches that each loader process keeps ready")
    pin_memory: bool | Auto = Field(description="page-locked batches, which a GPU copies beside its work")
    persistent_workers: bool | Auto = Field(description="loader processes outlive an epoch")
    crop: Literal["square", "lower", "none"] = Field(description="centred square, lower square, all stretched")
    zoom: Annotated[float, Field(ge=0.3, le=1)] = Field(description="share of the crop's side that is kept")
    interpolation: Literal["bilinear", "bicubic"] = Field(description="antialiased resize")
    fraction: Annotated[float, Field(gt=0, le=1)] = Field(description="stratified part of each split")
    limit: Count | None = Field(description="at most so many images per split, stratified")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(description="of the subset, the random split and the drawing")
    on_error: Literal["raise", "skip"] = Field(
        default="raise", description="an image that does not decode ends the program, or is left out and recorded"
    )


class CelebaData(_Data):
    """CelebA as people have it: official layout, zip, or Kaggle's."""

    name: Literal["celeba"]
    split: Literal["official", "images", "identities"] = Field(
        description="CelebA's own partition, or a seeded random one over images or over identities"
    )
    sizes: Sizes | None = Field(description="of a random split")

    @model_validator(mode="after")
    def _sizes_for_random_split(self) -> CelebaData:
        if self.split == "official" and self.sizes is not None:
            raise ValueError("sizes= needs a random split: add data.split=images or data.split=identities")
        if self.split != "official" and self.sizes is None:
            example = "data.sizes={train:0.8,valid:0.1,test:0.1}"
            raise ValueError(f"split={self.split} needs data.sizes, for example {example}")
        return self


class FolderData(_Data):
    """One folder per class, with or without one folder per split above."""

    name: Literal["folder"]
    sizes: Sizes = Field(description="of the seeded, stratified split when there are no split folders")


class SyntheticData(_Data):
    """Faces drawn by `gender_lightning.synthetic.faces`, in CelebA's format."""

    name: Literal["synthetic"]
    sizes: Sizes = Field(description="images to draw per split")

    @model_validator(mode="after")
    def _counts(self) -> SyntheticData:
        if any(isinstance(size, float) for size in (self.sizes.train, self.sizes.valid, self.sizes.test)):
            raise ValueError("sizes of synthetic faces are counts, for example data.sizes.train=2000")
        return self


DataConfig = Annotated[CelebaData | FolderData | SyntheticData, Field(discriminator="name")]
