"""`gender-lightning predict`: label pictures, folders, lists, videos and cameras."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from gender_lightning.commands.steps.reporting import set_up_logging
from gender_lightning.config import PredictConfig, parse_config
from gender_lightning.console import bars, console, shown
from gender_lightning.data.loading import MOST_WORKERS, automatic_workers
from gender_lightning.errors import UserError
from gender_lightning.faces_choice import WITHOUT_DETECTOR
from gender_lightning.inference.abstention import check_disagreement, closing_text, least_confidence, on_valid
from gender_lightning.inference.checkpoints import CheckpointSet
from gender_lightning.inference.faces.crops import NOT_FOUND, Cropper, FaceSearch
from gender_lightning.inference.predictor import UNCERTAIN
from gender_lightning.inference.stream.annotate import Annotator
from gender_lightning.inference.stream.formats import read_rows
from gender_lightning.inference.stream.items import Item, PredictedPicture, columns_of
from gender_lightning.inference.stream.local import Classifier, predict_stream
from gender_lightning.inference.stream.parts import Done, Output
from gender_lightning.inference.stream.sources import Source
from gender_lightning.interruption import Interruption
from gender_lightning.machine.hardware import Hardware, available_cores, resolve_hardware
from gender_lightning.models.checkpoints.checkpoint import ModelSpec
from gender_lightning.notebook import as_html
from gender_lightning.progress import bar_on
from gender_lightning.training.allocator import tune_heap

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Predictions:
    """The result of a prediction.

    Attributes:
        path: Path of the table: .csv, .parquet or .jsonl.
        counts: Number of pictures of this call (`pictures`), and of rows by label or status.
    """

    path: Path
    counts: dict[str, int]

    def table(self) -> pd.DataFrame:
        """The rows of the table, one per face, with the columns and types of `inference.stream.items.columns_of`."""
        import pandas as pd

        rows = list(read_rows(self.path))
        types = {name: kind.replace("int32", "Int32") for name, kind in columns_of(rows[0] if rows else None).items()}
        return pd.DataFrame(rows, columns=list(types)).astype(types)

    def __repr__(self) -> str:
        return f"Predictions(path={shown(self.path)!r}, counts={self.counts})"

    def _repr_html_(self) -> str:
        return as_html(shown(self.path), ["", "number"], [[name, f"{count:,}"] for name, count in self.counts.items()])


def main(values: dict[str, Any]) -> Predictions:
    """Predict from the composed configuration, and print a summary."""
    set_up_logging()
    with Interruption().listening(["SIGTERM"]):  # so that finished rows are kept
        config = parse_config(PredictConfig, values)
        return Predictions(Path(config.output).expanduser().absolute(), dict(predict(config)))


def predict(config: PredictConfig) -> Counter[str]:
    """Predict every picture that `input=` names, and write the table. Returns the number of rows by label or status.

    Raises:
        UserError: There is no picture, none can be read, or the checkpoint or the output cannot be used.
    """
    source = Source(config.inputs, config.frame_step)
    source.check()
    total = source.count()
    if total == 0:
        raise _nothing(config, source)
    checkpoints = CheckpointSet.of(config.checkpoint, config.faces)
    check_disagreement(config.max_disagreement, checkpoints)
    network = checkpoints.network()
    least = least_confidence(checkpoints, network.spec, config.min_confidence, config.target_accuracy)
    hardware = _hardware(config, checkpoints)
    cropper = FaceSearch.of(config).cropper(network.spec)
    if cropper.remark:
        console.print(cropper.remark, markup=False)
    if config.engine == "ray":
        _check_ray(source)
    output = Output(Path(config.output).expanduser(), _settings(config, checkpoints, least), resume=config.resume)
    done = output.done()
    annotator = _annotator(config, output.path, network.spec)
    rest = _rest(source.items(), done, annotator)
    batch_size = _batch_size(config, hardware)
    domain = None if config.engine == "ray" else checkpoints.domain  # the workers of a cluster add up nothing
    classifier = Classifier(network, hardware, least, batch_size, domain, config.max_disagreement)
    predicted: Iterator[list[PredictedPicture]]
    if config.engine == "ray":
        predicted = _on_ray(rest, config, checkpoints, cropper, hardware, least)
    else:
        if hardware.device_type == "cpu":
            tune_heap()
        predicted = predict_stream(
            rest,
            cropper,
            classifier,
            workers=_workers(config, source, hardware),
            chunk=1 if source.is_endless else batch_size,
            keep_pixels=config.annotate,
        )
    counts = _collect(source, predicted, output, annotator, None if total is None else total - done.pictures)
    unseen = _unseen(counts.pop(NOT_FOUND, 0))
    _report(counts, done.pictures, source, output.path, [unseen, _closing(counts, checkpoints, classifier)])
    if not done.pictures and not counts["pictures"]:
        raise _nothing(config, source)
    if not done.pictures and counts["unreadable"] == counts["pictures"]:
        raise UserError("None of the pictures could be read.", f"See the column note of {output.path} for the reasons.")
    return counts


def _check_ray(source: Source) -> None:
    from gender_lightning.inference.stream.ray_engine import check_installed

    check_installed()
    if source.is_endless:
        raise UserError(
            "engine=ray reads files that every machine has, not a camera.", "Use engine=local.", field="engine"
        )


def _on_ray(
    items: Iterable[Item],
    config: PredictConfig,
    checkpoints: CheckpointSet,
    cropper: Cropper,
    hardware: Hardware,
    least: float,
) -> Iterator[list[PredictedPicture]]:
    from gender_lightning.inference.stream.ray_engine import RayJob

    batch_size, packages = _batch_size(config, hardware), tuple(config.packages)
    job = RayJob(
        checkpoints.absolute(), cropper, hardware, least, batch_size, config.max_disagreement, packages=packages
    )
    return job.run(items, config.ray.address, config.ray.workers)


def _rest(items: Iterable[Item], done: Done, annotator: Annotator | None) -> Iterator[Item]:
    """Pictures without rows, and pictures with rows that are still to be drawn. Frames of a camera are always new."""
    for item in items:
        if not item.path or not done.take(item):
            yield item
        elif annotator and not annotator.has(item):
            yield replace(item, done=True)


def _nothing(config: PredictConfig, source: Source) -> UserError:
    for _ in source.items():  # counts what is left out
        pass
    left_out = source.left_out_text()
    return UserError(
        f"input={config.input}: there is no picture in it{f' ({left_out})' if left_out else ''}.",
        "Give another folder, glob or list.",
        field="input",
    )


def _collect(
    source: Source,
    predicted: Iterator[list[PredictedPicture]],
    output: Output,
    annotator: Annotator | None,
    total: int | None,
) -> Counter[str]:
    """Run the prediction; however it ends, finished rows are on the disk."""
    counts: Counter[str] = Counter()
    complete = False
    try:
        with _progress() as bar:
            task = bar.add_task("predicting", total=total)
            try:
                for pictures in predicted:
                    new = [picture for picture in pictures if not picture.item.done]
                    output.write(new)
                    if annotator:
                        annotator.take([_with_rows(picture, output) for picture in pictures])
                    counts.update(_counted(new))
                    bar.advance(task, len(new))
            except KeyboardInterrupt:
                if not source.is_endless:
                    raise
        complete = True
    finally:
        if annotator:
            annotator.close(complete=complete)
        if complete:
            output.finish()
        else:
            output.flush()
            output.close()
            console.print("Finished rows are kept: the same command with resume=true continues.")
    return counts


def _with_rows(picture: PredictedPicture, output: Output) -> PredictedPicture:
    """The picture with its rows, which an earlier job may have written."""
    return PredictedPicture(picture.item, output.rows_of(picture.item)) if picture.item.done else picture


def _counted(pictures: list[PredictedPicture]) -> Iterator[str]:
    for picture in pictures:
        yield "pictures"
        for row in picture.rows:
            yield row["label"] or row["status"]
            if NOT_FOUND in row["note"]:
                yield NOT_FOUND


def _unseen(count: int) -> str:
    """How many pictures without a face were used all the same; empty if there are none."""
    if not count:
        return ""
    return (
        f"In {count:,} of the pictures no face was found, but they are no larger than a face crop and were used as they"
        " are; faces=detect leaves them out."
    )


def _closing(counts: Counter[str], checkpoints: CheckpointSet, classifier: Classifier) -> str:
    """How many of the faces have a label, if any may be without, and whether they are of valid's kind."""
    spec, least = classifier.network.spec, classifier.min_confidence
    seen = classifier.seen
    if not seen.faces:  # a cluster has looked at them
        decided = sum(counts[name] for name in spec.class_names)
        seen.take(decided, decided + counts[UNCERTAIN])
    return closing_text(seen, least, on_valid(checkpoints, spec, least), classifier.domain)


def _report(counts: Counter[str], before: int, source: Source, output: Path, closing: list[str]) -> None:
    told = {name: count for name, count in counts.items() if name != "pictures"}
    names = {"no_face": "without a face", "unreadable": "unreadable"}
    said = ", ".join(f"{count:,} {names.get(name, name)}" for name, count in sorted(told.items()))
    many = f"{counts['pictures']:,} picture{'' if counts['pictures'] == 1 else 's'}"
    skipped = f" ({before:,} done before)" if before else ""
    console.print(f"{many}{skipped}{': ' if said else ''}{said}", markup=False)
    for sentence in filter(None, closing):
        console.print(sentence, markup=False)
    if counts["unreadable"]:
        console.print("The column note gives the reason for each picture that cannot be read.")
    if left_out := source.left_out_text():
        console.print(left_out, markup=False)
    console.print(f"written to {shown(output)}", markup=False)


def _annotator(config: PredictConfig, output: Path, spec: ModelSpec) -> Annotator | None:
    if not config.annotate:
        return None
    return Annotator(output.with_name(f"{output.stem}_annotated"), spec.class_names, config.frame_step)


def _hardware(config: PredictConfig, checkpoints: CheckpointSet) -> Hardware:
    """The device, in the precision that the runs were tested in unless another is requested."""
    precision = config.precision
    if precision == "auto":
        trained = {run.config().get("trainer", {}).get("precision", "auto") for run in checkpoints.runs if run}
        precision = trained.pop() if len(trained) == 1 else "auto"
    try:
        return resolve_hardware(accelerator=config.accelerator, precision=precision, prefix="")
    except UserError:
        if config.precision != "auto":
            raise
        return resolve_hardware(accelerator=config.accelerator, prefix="")  # it was trained on another kind of device


def _batch_size(config: PredictConfig, hardware: Hardware) -> int:
    if config.batch_size != "auto":
        return config.batch_size
    return 64 if hardware.device_type == "cpu" else 256


def _workers(config: PredictConfig, source: Source, hardware: Hardware) -> int:
    if config.workers != "auto":
        return config.workers
    if source.is_endless:
        return 0  # a frame that waits in a queue is out of date
    if config.faces in WITHOUT_DETECTOR:
        return automatic_workers(available_cores(), hardware.device_type)
    return min(available_cores(), MOST_WORKERS)  # finding faces takes longer than the network


def _settings(config: PredictConfig, checkpoints: CheckpointSet, least: float) -> dict[str, Any]:
    """Everything that the rows of a picture depend on."""
    return {
        "checkpoint": checkpoints.digest(),
        "faces": config.faces,
        "face_model": config.face_model is not None,
        "min_face": config.min_face,
        "rotate": config.rotate,
        "min_confidence": round(least, 9),
        "max_disagreement": config.max_disagreement,
        "frame_step": config.frame_step,
    }


class _RateColumn(ProgressColumn):
    """Pictures per second, over the last half minute."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} images/s" if task.speed else "- images/s")


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _RateColumn())
    return bar_on(bars, *columns, TimeRemainingColumn())
