"""`conf/data/`: where faces come from, how they are framed, split and loaded."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gender_lightning.config.base import Auto, Contradictions, Count, Section, refuse

Size = Annotated[int | float, Field(ge=0, le=10**9)]
LABEL = "Male"  # the attribute of CelebA that is predicted


class Sizes(Section):
    """Images per split: counts (`4000`), or fractions of all (`0.8`). `1` is one image, `1.0` is all of them."""

    train: Size = Field(description="images to learn from: a count, or a fraction of all (1 is one image, 1.0 is all)")
    valid: Size = Field(description="images to choose on: a count, or a fraction of all (1 is one image, 1.0 is all)")
    test: Size = Field(description="images to test on: a count, or a fraction of all (1 is one image, 1.0 is all)")

    @model_validator(mode="after")
    def _one_kind(self) -> Sizes:
        values = (self.train, self.valid, self.test)
        kinds = {type(value) for value in values if value != 0}
        if len(kinds) > 1:
            hint = " (1 is one image, 1.0 all of them)" if 1 in values else ""
            raise ValueError(f"must be three counts (4000) or three fractions (0.8), not a mixture{hint}")
        if kinds == {float} and sum(values) > 1 + 1e-9:
            raise Contradictions(
                [(f"the fractions add up to {sum(values):g}", "Give fractions that add up to at most 1.")]
            )
        return self


class _Data(Section):
    root: str = Field(min_length=1, description="folder that holds the images and label files")
    image_size: Annotated[int, Field(ge=16, le=2048)] = Field(description="side of the model's square input, px")
    batch_size: Count = Field(description="images per device and step")
    eval_batch_size: Count | Auto = Field(
        description="images per device in validation and test; auto: twice batch_size"
    )
    workers: Annotated[int, Field(ge=0, le=256)] | Auto = Field(
        description="loader processes per device; auto: by cores and memory, as for the next three"
    )
    prefetch: Count | Auto = Field(description="batches that each loader process keeps ready")
    pin_memory: bool | Auto = Field(description="page-locked batches, which a GPU copies while it computes")
    persistent_workers: bool | Auto = Field(description="keep the loader processes from epoch to epoch")
    crop: Literal["square", "lower", "none"] = Field(
        description="part of a picture to use: the centred square, a square with less above the head, or all of it, "
        "stretched"
    )
    zoom: Annotated[float, Field(ge=0.3, le=1)] = Field(description="share of the crop's side that is kept")
    interpolation: Literal["bilinear", "bicubic"] = Field(description="filter of the antialiased resize")
    fraction: Annotated[float, Field(gt=0, le=1)] = Field(description="part of each split to use, stratified by class")
    limit: Count | None = Field(description="largest number of images per split, stratified by class; null: all")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        description="seed of the subset, of a random split and of drawn faces"
    )
    folds: Annotated[int, Field(ge=2, le=50)] | None = Field(
        default=None,
        description="cross-validation: train and valid are divided into this many parts of whole persons, one of which "
        "is valid; null: the splits as they are",
    )
    fold: Count | None = Field(default=None, description="the part that is valid, from 1 to data.folds")
    resident: bool | Auto = Field(
        default="auto",
        description="keep the pictures in the device's memory after the first epoch; auto: on a GPU with room for them",
    )
    cache: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="folder for decoded pictures, which all later runs share"
    )
    on_error: Literal["raise", "skip"] = Field(
        default="raise",
        description="images that do not decode: raise stops, skip leaves them out and lists them in skipped.csv",
    )
    exclude: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="CSV with a column image_id, or text with an id per line: images that train and valid leave out",
    )
    corrections: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="corrections.csv of `data review`: labels of train and valid that it calls wrong are reversed",
    )
    attributes: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="CSV file with further attributes: image_id,column,... and 0 or 1 in every cell; null: none",
    )
    groups: list[str] = Field(
        default=[],
        max_length=4,
        description="attributes that divide each class into groups, such as [Wearing_Lipstick]; []: no groups",
    )
    group_minimum: Count = Field(
        default=50, description="groups with fewer training images are pooled with the rest of their class"
    )
    sampler: Literal["shuffled", "class_balanced", "group_balanced"] = Field(
        default="shuffled",
        description="shuffled: each image once per epoch; the others: every class or group has the same share of it",
    )
    sampler_cap: Annotated[float, Field(ge=1, le=1000)] = Field(
        default=5.0, description="largest mean number of times per epoch that a balanced sampler repeats an image"
    )
    drop_contradictions: bool = Field(
        default=False,
        description="leave out training images whose label contradicts most training images of the same person",
    )

    @model_validator(mode="after")
    def _fold_of_folds(self) -> Self:
        if (self.folds is None) != (self.fold is None):
            given, missing = ("data.folds", "data.fold") if self.fold is None else ("data.fold", "data.folds")
            example = "train -m data.folds=5 data.fold=1,2,3,4,5"
            refuse([(f"{given} needs {missing}", f"Give both, for example {example}.")])
        if self.folds is not None and self.fold is not None and self.fold > self.folds:
            refuse([(f"data.fold={self.fold} of {self.folds} folds", f"Give a number from 1 to {self.folds}.")])
        return self

    @model_validator(mode="after")
    def _groups(self) -> Self:
        problems = []
        if LABEL in self.groups:
            problems.append((f"data.groups: {LABEL} is the label itself", "Leave it out: groups lie within a class."))
        if len(set(self.groups)) < len(self.groups):
            problems.append((f"data.groups=[{','.join(self.groups)}] names an attribute twice", "Name it once."))
        if self.sampler == "group_balanced" and not self.groups:
            remedy = "Add data.groups=[Wearing_Lipstick], for example, or use data.sampler=class_balanced."
            problems.append(("data.sampler=group_balanced needs groups", remedy))
        refuse(problems)
        return self


class CelebaData(_Data):
    """CelebA in its usual forms: the official layout, img_align_celeba.zip read in place, or Kaggle's."""

    name: Literal["celeba"] = Field(description="kind of data")
    split: Literal["official", "images", "identities"] = Field(
        description="CelebA's own partition, or a seeded random one over images or over persons"
    )
    sizes: Sizes | None = Field(description="sizes of a random split, counts or fractions; null with split=official")

    @model_validator(mode="after")
    def _sizes_for_random_split(self) -> CelebaData:
        if self.split == "official" and self.sizes is not None:
            problem = "data.sizes has no effect with data.split=official"
            raise Contradictions([(problem, "Add data.split=images or data.split=identities.")])
        if self.split != "official" and self.sizes is None:
            example = "data.sizes={train:0.8,valid:0.1,test:0.1}"
            raise Contradictions([(f"split={self.split} needs data.sizes", f"Give it, for example {example}.")])
        return self


class FolderData(_Data):
    """root/{train,valid,test}/{female,male}/, or root/{female,male}/ with a seeded, stratified split."""

    name: Literal["folder"] = Field(description="kind of data")
    sizes: Sizes = Field(
        description="sizes of the seeded, stratified split if there are no split folders; 1 is one image, 1.0 all"
    )


class SyntheticData(_Data):
    """Faces drawn by this program in CelebA's format, the first time they are needed."""

    name: Literal["synthetic"] = Field(description="kind of data")
    sizes: Sizes = Field(description="images to draw for each split")

    @model_validator(mode="after")
    def _counts(self) -> SyntheticData:
        if any(isinstance(size, float) for size in (self.sizes.train, self.sizes.valid, self.sizes.test)):
            problem = "the sizes of synthetic faces are counts, not fractions"
            raise Contradictions([(problem, "Give counts, for example data.sizes.train=2000.")])
        return self


DataConfig = Annotated[CelebaData | FolderData | SyntheticData, Field(discriminator="name")]
