"""`gender-lightning refit`: fit the last layer of a trained run again, and say whether anything was gained."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gender_lightning.commands.evaluate import hardware_as_trained, is_own_data, refuse_to_draw, search_of
from gender_lightning.commands.steps.refit_files import print_refit, write_refit
from gender_lightning.commands.steps.reporting import set_up_logging
from gender_lightning.config import RefitConfig, parse_config
from gender_lightning.data.datamodule import FaceDataModule
from gender_lightning.data.framing import Placement
from gender_lightning.data.reading import make_data, open_data
from gender_lightning.data.rows.groups import Groups, check_attributes, make_groups
from gender_lightning.data.sources.annotations import Index
from gender_lightning.errors import UserError
from gender_lightning.evaluation.metrics import fit_temperature
from gender_lightning.evaluation.statistics.intervals import clusters_of
from gender_lightning.inference.faces.crops import FaceSearch
from gender_lightning.inference.faces.located import Located, finder_of
from gender_lightning.inference.faces.training_faces import placement_of
from gender_lightning.machine.hardware import Hardware
from gender_lightning.models.checkpoints.checkpoint import Network, load_network
from gender_lightning.models.last_layer import LastLayer
from gender_lightning.progress import counting_bar
from gender_lightning.refitting.choosing import (
    Aim,
    check_persons,
    choose_and_fit,
    cross_fitted,
    number_of_fits,
)
from gender_lightning.refitting.features import FOLDER, SplitFeatures, features_of, look
from gender_lightning.refitting.fits import FitData
from gender_lightning.refitting.judging import HeadComparison, judge
from gender_lightning.refitting.methods import METHODS, probability_at
from gender_lightning.refitting.outcome import Outcome
from gender_lightning.refitting.result import Refit, SplitResult, gained, name_of, sizes_of
from gender_lightning.runs import Run

log = logging.getLogger(__name__)
_SPLIT_FIELDS = ("split", "sizes", "seed")  # of a data section: which image is in which split


@dataclass(frozen=True)
class Setting:
    """The parts of a refit, all of whose faults have been found.

    Attributes:
        config: The configuration of the command.
        run: The run that the checkpoint belongs to; None for a file elsewhere.
        network: The network, in evaluation mode, on its device.
        hardware: Device and precision.
        search: How faces are looked for.
        finder: Finds them; None: pictures are used as they are.
        data: Each split, read.
        fit: The images to fit on.
        report: The images of the report.
        groups: The groups, as the fitting images have them.
        aim: What is to be raised.
        own_data: Whether the model was trained on (another part of) these data.
    """

    config: RefitConfig
    run: Run | None
    network: Network
    hardware: Hardware
    search: FaceSearch
    finder: Located | None
    data: Mapping[str, FaceDataModule]
    fit: Index
    report: Index
    groups: Groups
    aim: Aim
    own_data: bool

    @property
    def cut(self) -> float:
        """The logit from which on the old checkpoint decides male."""
        spec = self.network.spec
        chance = min(max(spec.threshold, 1e-9), 1 - 1e-9)
        return float(spec.temperature * np.log(chance / (1 - chance)))


def main(values: dict[str, Any]) -> Refit:
    """Take the composed config, refit, print the table."""
    set_up_logging()
    return refit(parse_config(RefitConfig, values))


def refit(config: RefitConfig) -> Refit:
    """Compute features, choose and fit within the fitting data, judge on the report's, and write a run."""
    started = time.monotonic()
    setting = prepare(config)
    layer, features = compute(setting)
    seconds = {"features": time.monotonic() - started}
    outcome = fit(setting, layer, features["fit"], features["report"])
    seconds["fits"] = time.monotonic() - started - seconds["features"]
    result = measure(setting, layer, outcome, seconds)
    spec = replace(setting.network.spec, placement=_placement(setting, result))
    parts = (setting.fit, setting.report)
    result = write_refit(
        config, setting.run, setting.search, setting.network, spec, layer, parts, setting.groups, outcome, result,
        features["fit"].values,
    )  # fmt: skip
    print_refit(result)
    return result


def prepare(config: RefitConfig) -> Setting:
    """Load the network and read the data: what can be wrong is wrong before anything is computed."""
    if Path(config.output).exists():
        raise UserError(f"output={config.output}: it exists already.", "Choose another output=...", field="output")
    checkpoint = Path(config.checkpoint).expanduser()
    network, run = load_network(checkpoint), Run.of(checkpoint)
    own_data = is_own_data(config.data, run)
    if own_data and run is not None:
        _refuse_other_split(config, run)
    hardware = hardware_as_trained(config, run)
    search = search_of(config, run)
    finder = finder_of(network.spec, search)
    refuse_to_draw(config, run)
    data = _read(config, network, hardware, finder, ("valid", "test") if own_data else ("train", "valid", "test"))
    fitted = _joined([part.index(split) for split, part in data.items() if split != "test"])
    groups = _groups(config, run, fitted)
    aim = Aim(groups=len(groups.names) > 2, most_lost=config.max_loss)
    network = network.to(hardware.device_type).to(memory_format=hardware.memory_format)
    report = data["test"].index("test")
    setting = Setting(config, run, network, hardware, search, finder, data, fitted, report, groups, aim, own_data)
    empty = SplitFeatures(np.zeros((len(fitted), 0), np.float32), np.zeros(len(fitted), np.float32))
    check_persons(_material(setting, fitted, empty), "The fitting data")
    return setting


def compute(setting: Setting) -> tuple[LastLayer, dict[str, SplitFeatures]]:
    """Features of the fitting images and of the report's."""
    splits = list(setting.data)
    layer = look(setting.network, setting.data[splits[0]], splits[0], setting.hardware)
    with counting_bar("computing features", len(setting.fit) + len(setting.report)) as advance:
        found = {
            split: features_of(
                setting.network, layer, part, split, setting.hardware, _cache(setting), finder=setting.finder,
                advance=advance,
            )
            for split, part in setting.data.items()
        }  # fmt: skip
    parts = [found[split] for split in splits if split != "test"]
    values, logits = np.concatenate([part.values for part in parts]), np.concatenate([part.logits for part in parts])
    joined = SplitFeatures(values, logits)
    return layer, {"fit": joined, "report": found["test"]}


def fit(setting: Setting, layer: LastLayer, features: SplitFeatures, others: SplitFeatures) -> Outcome:
    """The new head, with its decisions on both parts; the labels of the report's images are not looked at."""
    method, cut, seed = METHODS[setting.config.method], setting.cut, setting.config.seed
    has_bias = layer.has_bias(setting.network.net)
    if method.name == "class_scaling" and not has_bias:
        raise UserError(
            f"The last layer of {setting.network.spec.backbone} has no constant that could be moved.",
            "Use method=thresholds.",
            field="method",
        )
    material = replace(_material(setting, setting.fit, features), has_bias=has_bias)
    with counting_bar("fitting", number_of_fits(method)) as advance:
        honest = cross_fitted(material, method, setting.aim, cut, seed, advance)
        chosen = choose_and_fit(material, method, setting.aim, cut, seed, advance)
    new = chosen.change.logits(others.values, others.logits)
    if method.name == "thresholds":  # weights and logits stay: only the decision moves
        temperature = fit_temperature(features.logits, material.labels)
        threshold = probability_at(-chosen.change.bias, temperature)
        return Outcome(
            None, chosen.candidate.told(), temperature, threshold, "worst_group" if setting.aim.groups else "balanced",
            (features.logits, others.logits), (features.logits, others.logits), (honest >= 0, new >= 0),
        )  # fmt: skip
    return Outcome(
        chosen.change, chosen.candidate.told(), fit_temperature(honest, material.labels), 0.5, "half",
        (features.logits, others.logits), (honest.astype(np.float32), new.astype(np.float32)), (honest >= 0, new >= 0),
    )  # fmt: skip


def measure(setting: Setting, layer: LastLayer, outcome: Outcome, seconds: Mapping[str, float]) -> Refit:
    """Judge old and new head on both parts."""
    config, spec = setting.config, setting.network.spec
    fitted, report = (
        _judged(setting, index, outcome.old[place] >= setting.cut, outcome.decided[place])
        for place, index in enumerate((setting.fit, setting.report))
    )
    better = gained(fitted, setting.aim)
    new = better or config.keep == "always"
    return Refit(
        path=Path(config.output).absolute(),
        source=config.checkpoint if setting.run is None else setting.run.path.name,
        backbone=spec.backbone,
        data=config.data.name,
        own_data=setting.own_data,
        method=config.method,
        words=METHODS[config.method].words,
        chosen=outcome.chosen,
        aim=name_of(setting.aim),
        most_lost=config.max_loss,
        groups=sizes_of(setting.groups),
        features=sum(layer.widths),
        fit_part=_part(tuple(split for split in setting.data if split != "test"), setting.fit),
        report_part=_part(("test",), setting.report),
        fit=fitted,
        report=report,
        gained=better,
        head="new" if new else "old",
        kept_by=config.keep,
        temperature=(spec.temperature, outcome.temperature),
        threshold=(spec.threshold, outcome.threshold),
        seconds={name: round(value, 1) for name, value in seconds.items()},
        remarks=tuple(_remarks(setting)),
    )


def _placement(setting: Setting, result: Refit) -> Placement | None:
    """Where the head expects a face: where it is in the pictures of the fit, if those are used as they are."""
    if setting.own_data or setting.finder is not None or result.head == "old":
        return setting.network.spec.placement
    split = next(iter(setting.data))
    return placement_of(setting.data[split], split)


def _read(
    config: RefitConfig, network: Network, hardware: Hardware, finder: Located | None, splits: Sequence[str]
) -> dict[str, FaceDataModule]:
    """Those of the splits that have images, each on its own, so that no others are searched for faces."""
    framed = config.data.model_copy(update=asdict(network.spec.framing))
    make_data(framed)
    index, _ = open_data(framed)
    check_attributes(index, config.groups, "groups", "groups=[]")
    filled = [split for split in splits if len(index.split(split))]
    if "test" not in filled or len(filled) < 2:
        missing = "test" if "test" not in filled else "valid"
        raise UserError(
            f"The {missing} split has no images: the head is fitted on valid, and the report is on test.",
            "Give both images with data.sizes, for example data.sizes={train:0.0,valid:0.5,test:0.5}.",
            field="data.sizes",
        )
    data = {}
    for split in filled:
        data[split] = FaceDataModule(framed, finder=finder, device_type=hardware.device_type, makes_cache=False)
        data[split].setup(only=split)
    return data


def _judged(setting: Setting, index: Index, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> HeadComparison:
    return judge(
        index.labels.astype(np.bool_), setting.groups.of(index), setting.groups.names,
        clusters_of(index.identities, len(index)), before, after, known=index.identities is not None,
        resamples=setting.config.resamples, seed=setting.config.seed,
    )  # fmt: skip


def _material(setting: Setting, index: Index, features: SplitFeatures) -> FitData:
    return FitData(
        features.values.astype(np.float64), features.logits.astype(np.float64), index.labels.astype(np.bool_),
        setting.groups.of(index), clusters_of(index.identities, len(index)),
    )  # fmt: skip


def _groups(config: RefitConfig, run: Run | None, fitted: Index) -> Groups:
    """The groups of the command, else those of the training where the data have them, else the classes."""
    section = {} if run is None else run.config().get("data", {})
    trained = section.get("groups") if isinstance(section, dict) else None
    known = [name for name in trained or [] if name in fitted.attribute_names]
    groups = make_groups(fitted, config.groups or known, config.data.group_minimum)
    if config.groups and len(groups.names) == 2:
        small = ", ".join(f"{name} {count:,}" for name, count in groups.pooled) or "none"
        raise UserError(
            f"groups=[{','.join(config.groups)}] divides neither class: a group needs "
            f"{config.data.group_minimum} fitting images (smaller ones: {small}).",
            "Lower data.group_minimum, or name another attribute.",
            field="groups",
        )
    log.info(groups.describe(config.data.group_minimum).replace("training images", "fitting images"))
    return groups


def _joined(parts: list[Index]) -> Index:
    first = parts[0]
    if len(parts) == 1:
        return first
    columns = ("image_ids", "labels", "partition", "attributes", "identities", "landmarks")
    values: dict[str, Any] = {}
    for name in columns:
        found = [getattr(part, name) for part in parts]
        values[name] = None if found[0] is None else np.concatenate(found)
    return replace(first, **values)


def _part(splits: tuple[str, ...], index: Index) -> SplitResult:
    persons = None if index.identities is None else len(np.unique(index.identities))
    return SplitResult(splits, len(index), persons, int(index.labels.sum()))


def _cache(setting: Setting) -> Path | None:
    """Where features are kept; nowhere for a checkpoint outside of a run, or in a run of somebody else."""
    if setting.run is None or not setting.run.is_own:
        return None
    folder = setting.run.path / FOLDER
    if not folder.resolve().is_relative_to(setting.run.path.resolve()):
        raise UserError(f"{folder} leads out of the run directory.", "Remove it.")
    return folder


def _refuse_other_split(config: RefitConfig, run: Run) -> None:
    """Where images of the training would come into the fitting data or the report."""
    trained, now = run.config().get("data"), config.data.model_dump()
    assert isinstance(trained, dict)
    for name in _SPLIT_FIELDS:
        if name in trained and trained[name] != now.get(name):
            raise UserError(
                f"data.{name} differs from that of the run: images that it was trained on would be taken for new ones.",
                f"Leave data.{name} out.",
                field=f"data.{name}",
            )


def _remarks(setting: Setting) -> list[str]:
    said = []
    first, second = setting.fit.identities, setting.report.identities
    if first is not None and second is not None and (both := len(np.intersect1d(first, second))):
        said.append(f"{both:,} persons are in the fitting data and in the report, which is then too favourable.")
    if first is None:
        said.append("Persons are unknown: pictures count as independent, and intervals are too narrow if they are not.")
    if setting.own_data and setting.run is not None:
        said.append(
            "The epoch of the old head was chosen on these fitting data, so that it looks a little better there than "
            "on further persons."
        )
    pooled = [f"{name} ({count:,})" for name, count in setting.groups.pooled]
    if setting.aim.groups and pooled:
        said.append(f"Too few images for a group of their own: {', '.join(pooled)}.")
    return said
