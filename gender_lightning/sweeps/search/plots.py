"""`sweep.html`: Optuna's own plots on one page that opens without a network."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import TrialState

from gender_lightning.reports.page import render

log = logging.getLogger(__name__)


def figures(study: Study) -> dict[str, Any]:
    """The plots that this study has data for, as plotly figures by their titles; none without plotly."""
    vis = optuna.visualization
    if not vis.is_available():
        return {}
    done = len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
    wanted: dict[str, Callable[..., Any]] = {}
    if len(study.directions) > 1:
        wanted = {"Pareto front": vis.plot_pareto_front}
    elif done:
        wanted = {"History": vis.plot_optimization_history, "Intermediate values": vis.plot_intermediate_values}
        if done > 1:
            wanted |= {
                "Importances": vis.plot_param_importances,
                "Parallel coordinates": vis.plot_parallel_coordinate,
                "Slices": vis.plot_slice,
            }
    wanted["Timeline"] = vis.plot_timeline
    found = {}
    for title, plot in wanted.items():
        try:
            found[title] = plot(study)
        except (ValueError, RuntimeError) as error:  # such as importances of a parameter that never varied
            log.info("No plot of %s: %s", title.lower(), error)
    return found


def page(study: Study, command: str) -> str | None:
    """The page, or None if plotly is not installed."""
    plots = figures(study)
    if not plots:
        return None
    from markupsafe import Markup

    # the library once, in the page itself, so that it works from file://
    parts = [
        (title, Markup(figure.to_html(full_html=False, include_plotlyjs=not position)))
        for position, (title, figure) in enumerate(plots.items())
    ]
    counts = {state.name.lower(): 0 for state in TrialState}
    for trial in study.get_trials(deepcopy=False):
        counts[trial.state.name.lower()] += 1
    summary = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    return render("search.html.j2", {"study": study.study_name, "summary": summary, "command": command, "plots": parts})
