"""How each number is defined."""

from __future__ import annotations

from ctd_analysis.figures.columns import score_columns
from ctd_analysis.report.html import Markup, tag
from ctd_analysis.report.numbers import count
from ctd_analysis.results import AnalysisResult, Definition


def anchor(metric: str, definition: str) -> str:
    """Id of a definition's place in the page."""
    return "definition-" + "".join(c if c.isalnum() else "-" for c in f"{metric}-{definition}")


def definition_section(result: AnalysisResult) -> list[Markup]:
    """What was scored on what, then every definition: formula, meaning, source."""
    trials = count(result.n_trials, "trial")
    text = (
        f"Scored on {trials} of the {result.split} split unless a row says otherwise. "
        f"Intervals cover {result.interval:.0%} and come from a bootstrap that draws whole trials. Maps that "
        "a metric fits are fitted to the training split, unless the definition says otherwise."
    )
    shown = {f"{column.metric}/{column.definition}" for column in score_columns(result)}
    others = [item for key, item in result.definitions.items() if key not in shown]
    parts = [tag("p", text), _list([item for key, item in result.definitions.items() if key in shown])]
    if others:
        summary = f"{count(len(others), 'further definition')}: fixed points and published forms"
        parts.append(tag("details", tag("summary", summary), _list(others)))
    return parts


def _list(items: list[Definition]) -> Markup:
    return tag("dl", *[part for item in items for part in _entry(item)])


def _entry(item: Definition) -> tuple[Markup, Markup]:
    name = tag("span", item.name, class_="note")
    term = tag("dt", tag("code", item.metric), " ", name, id=anchor(item.metric, item.name))
    source = f" Source: {item.source}." if item.source else ""
    published = " Repeats a published form as it was published." if item.published else ""
    return term, tag("dd", tag("code", item.formula), tag("br"), item.text, published, source)
