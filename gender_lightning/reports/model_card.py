"""`model_card.md`: what a model is for, what it is not for, and how well it does, all from measured values.

The sections are those of Mitchell et al. (2019), "Model Cards for Model Reporting".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gender_lightning.data.kinds import words_of
from gender_lightning.evaluation.measure import decimal
from gender_lightning.evaluation.metric_list import label_of
from gender_lightning.evaluation.result_tables import at_own_threshold, why_one_threshold
from gender_lightning.evaluation.results import GROUPS, Evaluation, Slice
from gender_lightning.evaluation.subgroups.fairness import GroupScore
from gender_lightning.evaluation.subgroups.group_words import (
    GAP_OF_ATTRIBUTE,
    LARGER_GAP,
    attribute_in_words,
    in_words,
)
from gender_lightning.reports.card_header import card_header
from gender_lightning.reports.card_training import REGULATIONS, licence_section, refit_section, training_section
from gender_lightning.reports.fairness_words import (
    count,
    detectable,
    empty_left_out,
    fairness_sentences,
    gap_text,
    gaps_note,
    groups_note,
    shown_gaps,
    skin_tone,
)
from gender_lightning.reports.words import NO_INTERVAL, explained_by_chance

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
_GAPS_SHOWN = 8


@dataclass(frozen=True)
class CardNotes:
    """What its owner says of a model.

    Attributes:
        contact: Whom to ask or to complain to.
        citation: How to cite the model.
        license: Licence of the weights, by its identifier on the Hugging Face hub.
        location: How `load` finds the weights.
    """

    contact: str | None = None
    citation: str | None = None
    license: str | None = None
    location: str = "checkpoints/best.ckpt"


def model_card(
    evaluation: Evaluation, run: Mapping[str, Any], config: Mapping[str, Any], notes: CardNotes | None = None
) -> str:
    """Write the card as Markdown with a YAML header.

    Args:
        evaluation: Results of the model on the split that the card reports.
        run: Content of `run.json`; empty for a checkpoint outside of a run.
        config: Configuration of the run; empty where it is not known.
        notes: What the owner adds.
    """
    backbone = evaluation.model.get("backbone", "unknown")
    notes = notes or CardNotes()
    trained = config.get("data") or {}
    sections = [
        f"# Model card: {backbone}" + (f", run {_plain(evaluation.run)}" if evaluation.run else ""),
        _what_it_is(evaluation, run),
        "## Intended use\n\nResearch and teaching on face classification; population counts over many images, with "
        "their uncertainty, where the people concerned agreed to it; sorting one's own pictures. A person looks at "
        "what the model is unsure of.",
        "## Out of scope\n\n" + "\n".join(f"- {text}" for text in _OUT_OF_SCOPE),
        _how_to_use(evaluation, notes),
        _data(evaluation, trained, run),
        training_section(run, config, evaluation.model),
        *refit_section(run),
        _metrics(evaluation),
        _confidence(evaluation),
        _fairness(evaluation),
        _slices(evaluation),
        _corruptions(evaluation),
        _limits(evaluation),
        licence_section(config, words_of(str(trained.get("name", evaluation.data))), notes.license),
        REGULATIONS,
        _contact(notes),
    ]
    return card_header(evaluation, notes.license) + "\n" + "\n\n".join(sections) + "\n"


def _what_it_is(evaluation: Evaluation, run: Mapping[str, Any]) -> str:
    model = evaluation.model
    parameters = f"{model['parameters'] / 1e6:.1f} million parameters" if "parameters" in model else ""
    size = f"images of {model['image_size']} px" if "image_size" in model else ""
    facts = ", ".join(part for part in (parameters, size) if part)
    version = (run.get("packages") or {}).get("gender-lightning", "")
    made = str(run.get("finished") or run.get("created") or "")[:10]
    dated = [f"trained {made}" if made else "", f"gender-lightning {version}" if version else ""]
    told = "; ".join(part for part in dated if part)
    return (
        f"A {model.get('backbone', 'network')}{f' ({facts})' if facts else ''} that takes a cropped face and gives the "
        "probability that annotators would call the person male; female otherwise. It measures *perceived* gender, in "
        f"two classes.{f' Version: {told}.' if told else ''}"
    )


def _how_to_use(evaluation: Evaluation, notes: CardNotes) -> str:
    threshold = evaluation.calibration.threshold
    return (
        "## How to use\n\n```python\nfrom gender_lightning import load\n\n"
        f'predictor = load("{notes.location}")\nprediction = predictor.predict("face.jpg")\n```\n\n'
        f"A face is called male from a probability of {threshold:.3f} on. Pass `min_confidence=` or `target_accuracy=` "
        "to `load` to let it abstain."
    )


def _data(evaluation: Evaluation, trained: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    name = str(trained.get("name", evaluation.data))
    learned, measured = words_of(_plain(name)), words_of(_plain(evaluation.data))
    refit = run.get("refit")
    other = isinstance(refit, Mapping) and refit.get("backbone_data") != name
    how = "The last layer was fitted to" if other else "Trained on"
    lines = [f"## Data\n\n{how}: {learned.about}\n\nThe label is {learned.label}."]
    if evaluation.training_data is not None:
        found = evaluation.training_data
        whom = "an unknown number of persons" if found.persons is None else count(found.persons, "person")
        lines.append(
            f"Training images: {found.images:,} ({found.images - found.males:,} female, {found.males:,} male) of "
            f"{whom}. Fingerprint of names, labels and splits (SHA-256): `{found.fingerprint[:16]}`."
        )
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
    """Sentences about what training used beside the label, as recorded in `run.json`."""
    attributes, groups = _texts(run.get("auxiliary_attributes")), run.get("groups")
    if attributes:
        yield (
            "These attributes of the data were a further training signal, learned beside the label: "
            f"{', '.join(attributes)}. The model has no output for them."
        )
    entries = groups if isinstance(groups, list) else []
    names = _texts([entry.get("name") for entry in entries if isinstance(entry, dict)])
    if names:
        yield f"Training distinguished these groups of images: {', '.join(names)}."


def _texts(values: Any) -> list[str]:
    """The texts of a list in a file that may be anybody's."""
    return [_plain(str(value)[:100]) for value in values[:100]] if isinstance(values, list) else []


def _metrics(evaluation: Evaluation) -> str:
    by = "images" if evaluation.persons is None else "persons"
    threshold = evaluation.calibration.threshold
    head = (
        f"## Metrics\n\nIntervals cover {evaluation.level:.0%} and are over {by}: proportions by Korn and Graubard, "
        f"the others from {evaluation.resamples:,} bootstrap resamples. {NO_INTERVAL}\n"
    )
    head += f"\n{same}\n" if (same := why_one_threshold(evaluation)) else ""
    rows = [[f"at threshold 0.5 of {evaluation.split}", "value", "interval"]]
    rows += [[label_of(name), decimal(found.value), found.ends()] for name, found in evaluation.metrics.items()]
    if own := at_own_threshold(evaluation):
        rule = str(evaluation.model.get("threshold_rule") or "chosen").replace("_", " ")
        used = (own[name].text() if name in own else "" for name in evaluation.metrics)
        column = [f"at {threshold:.3f}, the threshold in use ({rule})", *used]
        rows = [[*row, cell] for row, cell in zip(rows, column, strict=True)]
    return head + "\n" + _table(rows)


def _confidence(evaluation: Evaluation) -> str:
    found, who = evaluation.calibration, "images" if evaluation.persons is None else "persons"
    lines = [
        "## Confidence",
        f"Logits are divided by a temperature of {found.temperature:.3f}, fitted on valid. The expected calibration "
        f"error is {decimal(found.ece.value)} ({decimal(found.ece_uncalibrated.value)} without), "
        f"{explained_by_chance(evaluation)} (on such {who} a perfectly calibrated model has "
        f"{decimal(found.ece_by_chance)} on average); log-loss {decimal(found.loss.value)} "
        f"({decimal(found.loss_uncalibrated.value)} without), Brier score {decimal(found.brier.value)}.",
    ]
    rows = [["wanted accuracy", "abstain below", "decided", "of females", "of males", "accuracy of what is decided"]]
    for chosen in evaluation.selective.guaranteed:
        if not chosen.exists:
            rows.append([f"{chosen.target_accuracy:.1%}", "no guarantee from valid", "", "", "", ""])
            continue
        shares = (chosen.coverage, chosen.coverage_female, chosen.coverage_male)
        rows.append(
            [
                f"{chosen.target_accuracy:.1%}",
                f"{chosen.min_confidence:.4f}",
                *(f"{share:.1%}" for share in shares),
                chosen.accuracy.text(),
            ]
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


def _fairness(evaluation: Evaluation) -> str:
    fairness = evaluation.fairness
    if fairness is None:
        return "## Is it fair?\n\nNot measured: the evaluation is of an earlier version."
    identified = evaluation.persons is not None
    told = [*fairness_sentences(fairness, identified=identified), skin_tone(fairness)]
    lines = ["## Is it fair?", "\n".join(f"- {text}" for text in told)]
    if any(group.images for group in fairness.groups):
        note = groups_note(fairness.groups, identified=identified)
        lines.append(
            "p: whether a group differs from the rest of its class, adjusted for all of them (Holm)."
            + (f" {note}" if note else "")
        )
        lines.append(_table(_group_rows(fairness.groups, identified=identified)))
    shown = shown_gaps(fairness)[:_GAPS_SHOWN]
    if shown:
        rows = [["gap", "men", "women", "larger of both", "could be shown"]]
        for gap in shown:
            cells = (gap_text(gap.male), gap_text(gap.female), gap.equalized_odds.times(100).text(1))
            rows.append([attribute_in_words(gap.attribute), *cells, decimal(100 * detectable(gap), 1)])
        note = gaps_note(shown, shown, identified=identified)
        lines.append(
            f"The {len(shown)} largest gaps by attribute: {GAP_OF_ATTRIBUTE}. Larger of both: {LARGER_GAP}. All are in "
            "`fairness.csv`." + (f" {note}" if note else "")
        )
        lines.append(_table(rows))
    return "\n\n".join(lines)


def _group_rows(groups: Sequence[GroupScore], *, identified: bool) -> list[list[str]]:
    """Without known persons there is nothing to say of them: each image counts as one."""
    head = ["persons", "right", "right, every person once"] if identified else ["right"]
    rows = [["group", "images", *head, "p"]]
    for group in groups:
        if group.images:
            size = f"{group.images:,}" if group.judged else f"{group.images:,} (small)"
            right = [group.accuracy.text()]
            if identified:
                right = [f"{group.persons:,}", *right, group.per_person.text()]
            rows.append([in_words(group.name), size, *right, _p(group.p_holm)])
    return rows


def _slices(evaluation: Evaluation) -> str:
    if evaluation.worst_slice is None:
        return "## Subgroups\n\nNo subgroup has enough images to judge."
    worst = evaluation.slice(evaluation.worst_slice.name)
    sure = (
        "worse beyond chance"
        if evaluation.worst_slice.significant
        else "large enough to judge, though it may be chance"
    )
    left_out = empty_left_out([found.images for found in evaluation.slices], "subgroup")
    lines = [
        "## Subgroups",
        f"Worst of those that are {sure}: **{worst.words}** ({worst.rule}), accuracy {worst.accuracy.text()} on "
        f"{worst.images:,} images; {worst.rest_words} {decimal(worst.rest_accuracy)}.",
        f"The {_WORST_SHOWN} lowest, and the lowest of each heading; p is adjusted for all tests (Holm). All are in "
        "`slices.csv`. Subgroups marked small have too few images or persons to judge."
        + (f" {left_out}" if left_out else ""),
    ]
    rows = [["subgroup", "heading", "images", "accuracy", "minus the rest", "p"]]
    for found in _shown(evaluation.slices):
        size = f"{found.images:,} (small)" if found.small else f"{found.images:,}"
        difference = "" if math.isnan(found.difference.value) else f"{found.difference.value:+.4f}"
        rows.append([found.words, found.group, size, found.accuracy.text(), difference, _p(found.p_holm)])
    return "\n\n".join([*lines, _table(rows)])


def _shown(slices: Sequence[Slice]) -> list[Slice]:
    """The lowest of those that can be judged, and the lowest of every heading, by accuracy."""
    filled = sorted((found for found in slices if found.images), key=lambda found: found.accuracy.value)
    judged = [found for found in filled if not found.small]
    chosen = judged[:_WORST_SHOWN]
    for group in GROUPS:
        in_group = [found for found in judged if found.group == group]
        chosen += (in_group or [found for found in filled if found.group == group])[:1]
    return sorted({found.name: found for found in chosen}.values(), key=lambda found: found.accuracy.value)


def _corruptions(evaluation: Evaluation) -> str:
    error = evaluation.further.get("mean_corruption_error", math.nan)
    if math.isnan(error):
        return "## Disturbed pictures\n\nNot measured (`evaluate corruptions=quick` or `full`)."
    faces = evaluation.further.get("mean_face_corruption_error", math.nan)
    text = f"## Disturbed pictures\n\nMean error under ImageNet-C's fifteen corruptions: {error:.1%}"
    text += "" if math.isnan(faces) else f"; under seven corruptions of faces (mask, sunglasses ...): {faces:.1%}"
    return text + f". On clean pictures: {1 - evaluation.metrics['accuracy'].value:.1%}. Each is in `corruptions.csv`."


def _limits(evaluation: Evaluation) -> str:
    return (
        "## Limits\n\n"
        "- The label is what strangers saw in one picture, and some labels may be wrong, which bounds what any "
        f"accuracy can mean. The model contradicts {count(evaluation.suspects, 'label')} of {evaluation.images:,} with "
        "confidence (`suspects.csv`); many of these are its own mistakes.\n"
        "- Two classes leave out people who are neither; the data cannot even say how many are mislabelled by that.\n"
        "- Hair, make-up and dress drive the label, and so the model: it learns fashion as much as faces.\n"
        "- Intervals are about other persons of the same source; they say nothing of other sources, years or cameras.\n"
        "- Attributes are themselves labels by annotators, with errors of their own. Origin is not among them, "
        "and skin tone as good as not (see above): little is known here of how the model treats people of different "
        "origins."
    )


def _contact(notes: CardNotes) -> str:
    missing = "Not given: whoever publishes the model adds it (`card.contact`)."
    contact = _plain(notes.contact) if notes.contact else missing
    citation = f"\n\nCite as: {_plain(notes.citation)}" if notes.citation else ""
    return f"## Contact\n\n{contact}{citation}"


def _p(value: float) -> str:
    return "not tested" if math.isnan(value) else f"{value:.3f}" if value >= 0.001 else "below 0.001"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(_plain(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def _plain(text: str) -> str:
    """A name that neither ends a cell of a table nor becomes markup."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
