"""The sections that hold plots: what they say, their controls, and a sentence where there is nothing to draw.

The plots themselves are drawn by the scripts in `assets`; until then, on paper and without WebGL a picture
stands in.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from ctd_analysis.figures.eigenvalues import eigenvalue_labels, leading_pair
from ctd_analysis.report.html import Markup, tag
from ctd_analysis.report.numbers import listing
from ctd_analysis.results import TRUTH, AnalysisResult

Images = Mapping[str, bytes]


def plot(name: str, images: Images, alt: str) -> Markup:
    """A place for a plot.

    Args:
        name: Its name, `plot-NAME` is the id that the script looks for.
        images: Name -> PNG that stands in for it.
        alt: What it shows, for those who can't see it.
    """
    picture: Markup = Markup("")
    if name in images:
        address = "data:image/png;base64," + base64.b64encode(images[name]).decode("ascii")
        picture = tag("img", class_="static", src=address, alt=alt)
    live = tag("div", class_="live", role="group", aria_label=alt)
    return tag("div", picture, live, class_="plot", id=f"plot-{name}")


def score_plot(images: Images) -> Markup:
    """All scores as dots with intervals."""
    return plot("scores", images, "Every score with its interval, a panel per metric, a row per model.")


def _missing(text: str) -> Markup:
    return tag("p", text, class_="missing")


def _control(title: str, name: str) -> Markup:
    return tag("label", title, " ", tag("select", id=name))


def rate_section(result: AnalysisResult, images: Images) -> list[Markup]:
    """Rates and spikes of example trials."""
    if "rates" not in images:
        return [_missing("No file holds rates, so there is nothing to show.")]
    truth = "" if result.examples.true_rates is not None else " The recording holds no true rates."
    without = [model.label for model in result.models if model.label not in result.examples.rates]
    lacking = f" Without rates: {listing(without)}." if without else ""
    text = (
        f"Example trials of the {result.split} split: rates as lines, the spikes counted in each bin as "
        f"ticks below. The models' encoders did not see the held-out neurons.{truth}{lacking}"
    )
    alt = "Rates and spikes of a few neurons in one trial: the truth as a thick line, models as thin ones."
    heat = "Rates of all neurons in the chosen trial as images: spikes, truth and each model."
    explained = "A row per neuron, from its lowest to its highest true rate in the example trials."
    return [
        tag("p", text),
        tag("div", _control("Trial", "trial"), _control("Neurons", "neurons"), class_="controls"),
        plot("rates", images, alt),
        tag(
            "div",
            tag("h3", "All neurons of this trial"),
            tag("p", explained, class_="note"),
            plot("images", images, heat),
            class_="screen",
        ),
    ]


def trajectory_section(result: AnalysisResult, images: Images) -> list[Markup]:
    """Trajectories and fixed points in three dimensions."""
    if "trajectories" not in images:
        return [_missing("No file holds states, so there are no trajectories to show.")]
    if TRUTH in result.spaces:
        text = (
            "Trajectories of the example trials in the first three principal components of the true states. "
            "The models' states were mapped into the truth's space by the best affine map; the truth is "
            "drawn in grey behind each model, and matched fixed points are joined by a line."
        )
    else:
        text = (
            "The recording holds no true states: each model is drawn in the first three principal components "
            "of its own states, and positions can't be compared between panels."
        )
    hint = (
        "Drag to turn; click, then scroll to zoom; the house resets. On the keyboard: arrows, + and −. "
        "All panels turn together."
    )
    alt = "Trajectories and fixed points in three dimensions, a panel for the truth and one for each model."
    without = [model.label for model in result.models if model.label not in result.spaces]
    return [
        tag("p", text),
        tag("div", id="trajectory-controls", class_="controls"),
        tag("ul", id="kinds", class_="kinds", aria_label="Kinds of points"),
        plot("trajectories", images, alt),
        tag("p", hint, class_="note screen"),
        *([_missing(f"Without states in their files: {listing(without)}.")] if without else []),
    ]


def eigenvalue_section(result: AnalysisResult, images: Images) -> list[Markup]:
    """Eigenvalue planes and time constants."""
    labels = [model.label for model in result.models]
    shown = eigenvalue_labels(result, labels)
    if not shown:
        return [_missing("No model has fixed points, so there are no eigenvalues to show.")]
    text = (
        "Eigenvalues of one step of the dynamics at matched fixed points: crosses are the truth's, circles "
        "the model's. Inside the unit circle a direction decays, outside it grows, off the real axis it "
        "rotates. Time constants are those of the leading eigenvalue, filled where it decays, open where it "
        "grows."
    )
    without = [label for label in labels if label not in shown]
    alone = [label for label in shown if leading_pair(result, label)[0] is None]
    alt = "Complex planes with the unit circle: eigenvalues of truth and model at matched fixed points."
    return [
        tag("p", text),
        tag("div", _control("Points", "kind"), class_="controls"),
        plot("eigenvalues", images, alt),
        *([_missing(f"Without fixed points: {listing(without)}.")] if without else []),
        *([_missing(f"Nothing matched, so all fixed points are shown: {listing(alone)}.")] if alone else []),
    ]
