"""The parts of a model card about training, licences and law."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gender_lightning.data.kinds import DataKind, words_of
from gender_lightning.reports.page import without_folders

# Fields of the configuration that describe a training, with their words
_SETTINGS = (
    ("model.pretrained", "pretrained weights"), ("trainer.max_epochs", "epochs"), ("data.batch_size", "batch size"),
    ("data.image_size", "image size, px"), ("data.crop", "crop"), ("optimizer._target_", "optimizer"),
    ("optimizer.lr", "learning rate"), ("optimizer.weight_decay", "weight decay"), ("scheduler.name", "schedule"),
    ("loss.name", "loss"), ("loss.label_smoothing", "label smoothing"), ("loss.class_weights", "class weights"),
    ("augmentation.random_rotation", "rotation, degrees"), ("augmentation.random_horizontal_flip", "horizontal flip"),
    ("augmentation.random_erasing", "random erasing"), ("augmentation.mixup", "MixUp"),
    ("augmentation.cutmix", "CutMix"), ("callbacks.ema.decay", "EMA decay"), ("seed", "seed"),
)  # fmt: skip
# What a training may do about groups, and the value that says that nothing was done
_ABOUT_GROUPS = (
    ("data.groups", "groups named in training"), ("data.sampler", "sampler"), ("loss.group_weights", "group weights"),
    ("loss.auxiliary.attributes", "attributes as an additional training signal (never predicted)"),
    ("loss.logit_adjustment", "logit adjustment"), ("data.drop_contradictions", "contradicting labels left out"),
)  # fmt: skip
_NOTHING: tuple[object, ...] = (None, [], {}, "", "none", "shuffled", False, 0)

REGULATIONS = """## Rules that may apply

This is not legal advice. Who puts such a model to use should look at least at these:

- EU AI Act (Regulation 2024/1689), Annex III, point 1(b): biometric categorisation by sensitive or protected attributes
  is among the high-risk uses. Article 13 asks for instructions and known limits (see Intended use, Out of scope and
  Limits), Article 15 for declared accuracy and robustness (see Metrics, Is it fair? and Disturbed pictures), and
  Article 50(3) for telling people that they are exposed to biometric categorisation.
- GDPR: a face picture is personal data.
- NIST AI Risk Management Framework 1.0, MEASURE: 2.5 (valid and reliable: Metrics), 2.11 (fairness and bias: Is it
  fair?), 2.12 (environmental impact: Training)."""
_COUNTERS = {"cpu": "processors and memory", "gpu": "GPUs"}


def training_section(run: Mapping[str, Any], config: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """How the model was trained, what that cost, and what was done about groups.

    Args:
        run: Content of `run.json`; empty where it is not known.
        config: Configuration of the run; empty where it is not known.
        model: `Evaluation.model`.
    """
    facts = list(_cost(run))
    parts = ["## Training"]
    settings = [f"{words} {value}" for name, words in _SETTINGS if (value := _field(config, name)) not in _NOTHING]
    if (teachers := _teachers(config)) > 0:
        settings.append(f"teachers {teachers}")
    if settings:
        parts.append("Settings: " + ", ".join(settings) + ".")
    if config:
        parts.append(_about_groups(config, model))
    parts.append("\n".join(f"- {fact}" for fact in facts) if facts else _UNKNOWN_COST)
    return "\n\n".join(parts)


def refit_section(run: Mapping[str, Any]) -> Iterator[str]:
    """What `refit` did to the last layer; nothing for other runs.

    Args:
        run: Content of `run.json`, which may be anybody's.
    """
    done = run.get("refit")
    if not isinstance(done, Mapping):
        return
    what = {name: _plain(done.get(name)) for name in ("source", "method", "words", "head", "images", "persons", "data")}
    people = "unknown persons" if done.get("persons") is None else f"{what['persons']} persons"
    trained = words_of(_plain(done.get("backbone_data"))).about
    verdict = done.get("verdict")
    told = " ".join(_plain(text) for text in verdict[:3]) if isinstance(verdict, list) else ""
    yield (
        f"## Refit\n\nThe backbone is that of the run `{what['source']}`, unchanged; the settings above are of its "
        f"training, the cost is of the refit. A head was fitted by `{what['method']}` ({what['words']}) on "
        f"{what['images']} images of {people} ({words_of(what['data']).shown}), and the checkpoint has the "
        f"{what['head']} head. {told}\n\nThe backbone was trained on: {trained}"
    )


def _plain(value: Any) -> str:
    """A short text without markup."""
    return str(value)[:500].replace("\\", "").replace("|", " ").replace("<", "&lt;").replace("`", "").replace("\n", " ")


_UNKNOWN_COST = "What it cost is not known: the checkpoint does not lie in its run directory."


def licence_section(config: Mapping[str, Any], data: DataKind, chosen: str | None) -> str:
    """Under which licence the weights are, and what that depends on.

    Args:
        config: Configuration of the run; empty where it is not known.
        data: What the model was trained on.
        chosen: The owner's choice; None where there is none yet.
    """
    pretrained = _field(config, "model.pretrained")
    told = f"`{chosen}`, as its owner says." if chosen else "Not decided (`card.license`)."
    origin = (
        "It started from weights of others, trained on their data: their licence binds too."
        if pretrained not in _NOTHING
        else "It was trained from scratch."
        if config
        else "Whether it started from weights of others is not known."
    )
    if _teachers(config):
        origin += " It learned what other models answer: the licences of their data bind too."
    return (
        f"## Licence of the weights\n\n{told} {origin} Whether weights inherit the limits of their training data is "
        f"disputed; whoever publishes them should assume so. The data: {data.about}"
    )


def _teachers(config: Mapping[str, Any]) -> int:
    """Number of models whose answers were learned (`loss=distill`)."""
    teachers = _field(config, "loss.teacher")
    return len(teachers) if isinstance(teachers, list) else 0


def _about_groups(config: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    done = [f"{words}: {value}" for name, words in _ABOUT_GROUPS if (value := _field(config, name)) not in _NOTHING]
    if _field(config, "loss.name") == "group_dro":
        done.append("group DRO")
    if model.get("threshold_rule") == "worst_group":
        done.append("threshold chosen for the worst group")
    told = "; ".join(done) if done else "nothing; images counted alike, whatever group they are of"
    return f"What was done about groups: {told}."


def _field(config: Mapping[str, Any], name: str) -> Any:
    """A field by its dotted name; None where it is missing."""
    value: Any = config
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value.rpartition(".")[2] if name.endswith("_target_") and isinstance(value, str) else value


def _cost(run: Mapping[str, Any]) -> Iterator[str]:
    hardware, packages = run.get("hardware") or {}, run.get("packages") or {}
    if run.get("seconds"):
        yield f"{float(run['seconds']) / 60:.1f} minutes of wall clock (status: {run.get('status', 'unknown')})"
    if hardware:
        gpus = ", ".join(hardware.get("gpus") or []) or "no GPU"
        yield f"on {hardware.get('cores', '?')} cores of {hardware.get('cpu', 'an unknown CPU')}, {gpus}"
    if run.get("energy_wh"):
        told = " and ".join(_COUNTERS.get(kind, kind) for kind in run.get("energy_parts") or ())
        text = f"energy: {float(run['energy_wh']):,.1f} Wh by the machine's own counters"
        yield f"{text} of {told}" if told else text
    elif run.get("seconds"):
        yield "energy: not measured (at most what the machine draws in those minutes)"
    if run.get("images_per_second"):
        yield f"{float(run['images_per_second']):,.0f} training images/s"
    if packages:
        yield ", ".join(f"{name} {packages[name]}" for name in ("gender-lightning", "torch") if packages.get(name))
    if run.get("git_revision"):
        yield f"revision {run['git_revision']}" + (" with local changes" if run.get("git_dirty") else "")
    if run.get("command"):
        yield f"`{without_folders(str(run['command'])).replace('`', '')}`"
