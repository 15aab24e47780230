"""`model_card.md`: what a model is for, what it is not for, and how well it does, all from measured values.

The sections are those of Mitchell et al. (2019), "Model Cards for Model Reporting".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gender_lightning.data.kinds import words_of
from gender_lightning.evaluation.metric_list import label_of
from gender_lightning.evaluation.summary import GROUPS, Evaluation, Measure, Slice

_OUT_OF_SCOPE = (
    "**Decisions about a person**: access, hiring, credit, health, police, borders, pricing, moderation. The model is "
    "wrong for some people systematically, the same people every time, who cannot contest it.",
    "**Security and access control**: a face picture is trivially forged, and a mask, make-up or a hat changes the "
    "answer.",
    "**Surveillance**: tracking, watching or counting people in public or at work who do not know of it. In the "
    "European Union, categorising persons by biometric data falls under the AI Act and the GDPR.",
    "**Gender identity**: nobody's own gender can be seen in a picture. The model says what annotators would say.",
    "**Trans, non-binary and intersex people**: two labels by strangers do not describe them; misgendering harms.",
    "**Age, expression, identity, origin**: it was not made to tell them.",
    "**Other pictures** than those it was tested on: children, other cameras, whole bodies, drawings.",
)
_WORST_SHOWN = 10


def model_card(evaluation: Evaluation, run: Mapping[str, Any], trained: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Args:
        evaluation: Of the model, on the split that the card reports.
        run: Content of `run.json`; empty for a checkpoint outside of a run.
        trained: The `data` section that the run trained with; empty where it is not known.
    """
    backbone = evaluation.model.get("backbone", "unknown")
    sections = [
        f"# Model card: {backbone}" + (f", run {_plain(evaluation.run)}" if evaluation.run else ""),
        _what_it_is(evaluation),
        "## Intended use\n\nResearch and teaching on face classification; population counts over many images, with "
        "their uncertainty, where the people concerned agreed to it; sorting one's own pictures. A person looks at "
        "what the model is unsure of.",
        "## Out of scope\n\n" + "\n".join(f"- {text}" for text in _OUT_OF_SCOPE),
        _data(evaluation, trained, run),
        _metrics(evaluation),
        _confidence(evaluation),
        _slices(evaluation),
        _limits(evaluation),
        _cost(run),
    ]
    return "\n\n".join(sections) + "\n"


def _what_it_is(evaluation: Evaluation) -> str:
    model = evaluation.model
    parameters = f"{model['parameters'] / 1e6:.1f} million parameters" if "parameters" in model else ""
    size = f"images of {model['image_size']} px" if "image_size" in model else ""
    facts = ", ".join(part for part in (parameters, size) if part)
    return (
        f"A {model.get('backbone', 'network')} ({facts}) that takes a cropped face and gives the probability that "
        "annotators would call the person male; female otherwise. It measures *perceived* gender, in two classes."
    )


def _data(evaluation: Evaluation, trained: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    name = str(trained.get("name", evaluation.data))
    learned, measured = words_of(_plain(name)), words_of(_plain(evaluation.data))
    lines = [f"## Data\n\nTrained on: {learned.about}\n\nThe label is {learned.label}."]
    lines += _signals(run)
    females = evaluation.images - evaluation.males
    persons = "an unknown number of" if evaluation.persons is None else f"{evaluation.persons:,}"
    lines.append(
        f"Measured below on the {evaluation.split} split of {measured.shown}: {evaluation.images:,} images "
        f"({females:,} female, {evaluation.males:,} male) of {persons} persons."
    )
    if evaluation.data != name:
        lines.append(f"These are other data than it was trained on. {measured.about}")
    return "\n\n".join(lines + evaluation.remarks)


def _signals(run: Mapping[str, Any]) -> Iterator[str]:
    """What training looked at beside the label, as `run.json` records it."""
    attributes, groups = _texts(run.get("auxiliary_attributes")), run.get("groups")
    if attributes:
        yield (
            f"While it trained, it learned these attributes of the data too, as a further signal: "
            f"{', '.join(attributes)}. The model has no output for them."
        )
    names = (
        _texts([group.get("name") for group in groups if isinstance(group, dict)]) if isinstance(groups, list) else []
    )
    if names:
        yield f"Training looked at these groups of images: {', '.join(names)}."


def _texts(values: Any) -> list[str]:
    """The texts of a list in a file that may be anybody's."""
    return [_plain(str(value)[:100]) for value in values[:100]] if isinstance(values, list) else []


def _metrics(evaluation: Evaluation) -> str:
    by = "images" if evaluation.persons is None else "persons"
    threshold = evaluation.calibration.threshold
    head = (
        f"## Metrics\n\nIntervals cover {evaluation.level:.0%} and are over {by}: proportions by Korn and Graubard, "
        f"the others from {evaluation.resamples:,} bootstrap resamples.\n"
    )
    rule = str(evaluation.model.get("threshold_rule") or "chosen").replace("_", " ")
    rows = [[f"at threshold 0.5 of {evaluation.split}", "value", "interval", f"at {threshold:.3f}, {rule} on valid"]]
    for name, measure in evaluation.metrics.items():
        other = evaluation.metrics_at_threshold.get(name)
        rows.append(
            [label_of(name), f"{measure.value:.4f}", _ends(measure), "" if other is None else f"{other.value:.4f}"]
        )
    return head + "\n" + _table(rows)


def _confidence(evaluation: Evaluation) -> str:
    it = evaluation.calibration
    evidence = "more than" if it.ece.value > it.ece_by_chance_high else "no more than"
    lines = [
        "## Confidence",
        f"Logits are divided by a temperature of {it.temperature:.3f}, fitted on valid. The expected calibration "
        f"error is {it.ece.value:.4f} ({it.ece_uncalibrated.value:.4f} without), {evidence} chance gives a perfectly "
        f"calibrated model on such persons ({it.ece_by_chance:.4f} on average); log-loss {it.loss.value:.4f} "
        f"({it.loss_uncalibrated.value:.4f} without), Brier score {it.brier.value:.4f}.",
    ]
    rows = [["wanted accuracy", "abstain below", "decided", "of females", "of males", "accuracy of what is decided"]]
    for chosen in evaluation.selective.guaranteed:
        if math.isnan(chosen.min_confidence):
            rows.append([f"{chosen.target_accuracy:.1%}", "no guarantee from valid", "", "", "", ""])
            continue
        shares = (chosen.coverage, chosen.coverage_female, chosen.coverage_male)
        found = f"{chosen.accuracy.value:.4f} ({_ends(chosen.accuracy)})"
        rows.append(
            [f"{chosen.target_accuracy:.1%}", f"{chosen.min_confidence:.4f}", *(f"{s:.1%}" for s in shares), found]
        )
    if len(rows) > 1:
        first = evaluation.selective.guaranteed[0]
        lines.append(
            "Where the model may abstain, a confidence chosen on valid guarantees the wanted accuracy with probability "
            f"{1 - first.error_rate:.0%}, for pictures of further persons like those of valid; another kind of picture "
            "voids the guarantee."
            if first.holds
            else "Where the model may abstain: confidences chosen on the run's own valid split. These images are of "
            "another kind or were seen before, so that no accuracy is guaranteed for them."
        )
        lines.append(_table(rows))
    return "\n\n".join(lines)


def _slices(evaluation: Evaluation) -> str:
    if evaluation.worst_slice is None:
        return "## Subgroups\n\nNo subgroup has enough images to judge."
    worst = evaluation.slice(evaluation.worst_slice.name)
    sure = "beyond chance" if evaluation.worst_slice.significant else "though not beyond chance"
    lines = [
        "## Subgroups",
        f"Worst of those large enough to judge: **{worst.name}** ({worst.rule}), accuracy {worst.accuracy.value:.4f} "
        f"({_ends(worst.accuracy)}) on {worst.images:,} images; {worst.rest} {worst.rest_accuracy:.4f}, {sure}.",
        f"The {_WORST_SHOWN} lowest, and the lowest of each heading; p is adjusted for all tests (Holm). All are in "
        "`slices.csv`. Subgroups marked small have too few images or persons to judge.",
    ]
    rows = [["subgroup", "heading", "images", "accuracy", "interval", "minus the rest", "p"]]
    for it in _shown(evaluation.slices):
        size = f"{it.images:,} (small)" if it.small else f"{it.images:,}"
        p = "not tested" if math.isnan(it.p_holm) else f"{it.p_holm:.3f}" if it.p_holm >= 0.001 else "below 0.001"
        difference = "" if math.isnan(it.difference.value) else f"{it.difference.value:+.4f}"
        rows.append([it.name, it.group, size, f"{it.accuracy.value:.4f}", _ends(it.accuracy), difference, p])
    return "\n\n".join([*lines, _table(rows)])


def _shown(slices: Sequence[Slice]) -> list[Slice]:
    """The lowest of those that can be judged, and the lowest of every heading, by accuracy."""
    filled = sorted((it for it in slices if it.images), key=lambda it: it.accuracy.value)
    judged = [it for it in filled if not it.small]
    chosen = judged[:_WORST_SHOWN]
    for group in GROUPS:
        of_group = [it for it in judged if it.group == group] or [it for it in filled if it.group == group]
        chosen += of_group[:1]
    return sorted({it.name: it for it in chosen}.values(), key=lambda it: it.accuracy.value)


def _limits(evaluation: Evaluation) -> str:
    return (
        "## Limits\n\n"
        "- The label is what strangers saw in one picture. Some labels are wrong: "
        f"{evaluation.suspects:,} of {evaluation.images:,} are suspect here (`suspects.csv`), and they bound what any "
        "accuracy can mean.\n"
        "- Two classes leave out people who are neither; the data cannot even say how many are mislabelled by that.\n"
        "- Hair, make-up and dress drive the label, and so the model: it learns fashion as much as faces.\n"
        "- Intervals are about other persons of the same source; they say nothing of other sources, years or cameras.\n"
        "- CelebA's attributes are themselves labels by annotators, with errors of their own; no skin tone or origin "
        "is among them, so that nothing is known here of how the model treats them."
    )


def _cost(run: Mapping[str, Any]) -> str:
    facts = list(_cost_facts(run))
    if not facts:
        return "## Cost of training\n\nNot known: the checkpoint does not lie in its run directory."
    return "## Cost of training\n\n" + "\n".join(f"- {fact}" for fact in facts)


def _cost_facts(run: Mapping[str, Any]) -> Iterator[str]:
    hardware, packages = run.get("hardware") or {}, run.get("packages") or {}
    if run.get("seconds"):
        yield f"{float(run['seconds']) / 60:.1f} minutes of wall clock (status: {run.get('status', 'unknown')})"
    if hardware:
        gpus = ", ".join(hardware.get("gpus") or []) or "no GPU"
        yield f"on {hardware.get('cores', '?')} cores of {hardware.get('cpu', 'an unknown CPU')}, {gpus}"
    if run.get("images_per_second"):
        yield f"{float(run['images_per_second']):,.0f} training images/s"
    if packages:
        yield ", ".join(f"{name} {packages[name]}" for name in ("gender-lightning", "torch") if packages.get(name))
    if run.get("git_revision"):
        yield f"revision {run['git_revision']}" + (" with local changes" if run.get("git_dirty") else "")
    if run.get("command"):
        yield f"`{str(run['command']).replace('`', '')}`"


def _ends(measure: Measure) -> str:
    return "" if math.isnan(measure.low) else f"{measure.low:.4f} to {measure.high:.4f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(_plain(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def _plain(text: str) -> str:
    """A name that neither ends a cell of a table nor becomes markup."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
