"""The report's page, section by section."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from plotly.offline import get_plotlyjs

from ctd_analysis.figures.palette import DARK, LIGHT, TRUTH_DARK, TRUTH_LIGHT
from ctd_analysis.report.definitions import definition_section
from ctd_analysis.report.differences import difference_table
from ctd_analysis.report.fixed_points import pair_table, point_table
from ctd_analysis.report.html import Markup, join, tag
from ctd_analysis.report.input_scores import input_table
from ctd_analysis.report.numbers import count
from ctd_analysis.report.payload import as_json, make_payload
from ctd_analysis.report.plots import (
    Images,
    eigenvalue_section,
    rate_section,
    score_plot,
    trajectory_section,
)
from ctd_analysis.report.provenance import provenance_section
from ctd_analysis.report.scores import all_numbers, left_out, score_table
from ctd_analysis.report.verdict import verdict
from ctd_analysis.results import AnalysisResult

SECTIONS = {
    "scores": "Scores",
    "rates": "Rates and spikes",
    "trajectories": "Trajectories and fixed points",
    "eigenvalues": "Eigenvalues and time constants",
    "points": "Fixed points, matched",
    "definitions": "Definitions",
    "provenance": "Provenance",
}

PARTS = ("common", "scores", "rates", "trajectories", "eigenvalues", "page")
"""Parts of the page's script, in `assets`."""


def make_page(result: AnalysisResult, images: Images) -> str:
    """The whole page as text.

    Args:
        result: The analysis.
        images: Section -> PNG that stands in for its plot on paper, without scripts and without WebGL.
    """
    library, script = Markup(get_plotlyjs()), Markup(_script())
    head = join(
        [
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=_policy(library, script)),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("title", f"{result.dataset}: dynamics report"),
            tag("style", Markup(_colors() + _asset("page.css"))),
        ],
        "\n",
    )
    body = join(
        [
            _header(result),
            tag("main", *_sections(result, images)),
            _footer(result),
            tag("script", as_json(make_payload(result)), id="payload", type="application/json"),
            tag("script", library),
            tag("script", script),
        ],
        "\n",
    )
    return f"<!DOCTYPE html>\n{tag('html', tag('head', head), tag('body', body), lang='en')}\n"


def _asset(name: str) -> str:
    return files("ctd_analysis.report").joinpath("assets", name).read_text(encoding="utf-8")


def _script() -> str:
    """The page's own script: its parts in one scope, in the order in which they build on each other."""
    return '"use strict";\n(() => {\n' + "\n".join(_asset(f"{part}.js") for part in PARTS) + "})();\n"


def _policy(*scripts: str) -> str:
    """Only the page's own two scripts run and nothing is fetched, whatever a file's text holds."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"


def _colors() -> str:
    """The palette as custom properties, light and dark."""

    def block(truth: str, models: tuple[str, ...]) -> str:
        named = "".join(f"--model-{index}:{color};" for index, color in enumerate(models))
        return f":root{{--truth:{truth};{named}}}"

    dark = block(TRUTH_DARK, DARK)
    return f"{block(TRUTH_LIGHT, LIGHT)}\n@media screen and (prefers-color-scheme: dark){{{dark}}}\n"


def _header(result: AnalysisResult) -> Markup:
    models = count(len({model.name for model in result.models}), "model")
    facts = [
        models,
        f"{count(result.n_trials, 'trial')} of the {result.split} split",
        f"bins of {1e3 * result.bin_width_s:g} ms",
        count(len(result.examples.neuron), "neuron") + _held_out(result),
    ]
    links = [tag("a", title, href=f"#{name}") for name, title in SECTIONS.items()]
    return tag(
        "header",
        tag("p", "Computation through dynamics", class_="kicker"),
        tag("h1", result.dataset),
        tag("p", verdict(result), class_="verdict", id="verdict"),
        tag("p", " · ".join(facts), class_="facts"),
        tag("nav", *links, aria_label="Sections"),
    )


def _held_out(result: AnalysisResult) -> str:
    held_out = int(result.examples.held_out.sum())
    return f", {held_out} of them held out" if held_out else ""


def _sections(result: AnalysisResult, images: Images) -> list[Markup]:
    contents = {
        "scores": [
            score_table(result),
            score_plot(images),
            difference_table(result),
            input_table(result),
            left_out(result),
            all_numbers(result),
        ],
        "rates": rate_section(result, images),
        "trajectories": trajectory_section(result, images),
        "eigenvalues": eigenvalue_section(result, images),
        "points": [point_table(result), pair_table(result)],
        "definitions": definition_section(result),
        "provenance": provenance_section(result),
    }
    scores, *others = [_section(name, *content) for name, content in contents.items()]
    return [scores, tag("div", id="legend", role="group", aria_label="Models shown in the plots"), *others]


def _section(name: str, *content: object) -> Markup:
    title = tag("h2", SECTIONS[name], id=f"{name}-title")
    return tag("section", title, *content, id=name, aria_labelledby=f"{name}-title")


def _footer(result: AnalysisResult) -> Markup:
    version = result.software.get("ctd-analysis", "")
    return tag("footer", tag("p", f"Written by ctd-analysis {version}".rstrip(), ". It needs no network."))
