"""Where the numbers come from and how to have them again."""

from __future__ import annotations

import json

from ctd_analysis.report.html import Markup, join, table, tag
from ctd_analysis.results import AnalysisResult, SourceFile


def provenance_section(result: AnalysisResult) -> list[Markup]:
    """How to cite and repeat; files, versions and configurations folded away."""
    cite = (
        "To cite a number, give the metric with its definition, the recording's id, the model file's id and "
        f"the versions below. The recording's id is {result.dataset_id}."
    )
    command = [tag("p", "This command repeats the report:"), tag("pre", result.command)]
    software = ", ".join(f"{name} {version}" for name, version in result.software.items())
    parts = [
        *([_files(result.files)] if result.files else []),
        tag("p", f"Software: {software or 'not recorded'}."),
        _configuration("the analysis", result.config),
        *[_configuration(f"{file.role}, {file.file_name}", file.config) for file in result.files],
    ]
    return [
        tag("p", cite),
        *(command if result.command else []),
        tag("details", tag("summary", "Files, versions, configuration"), *parts),
    ]


def _files(sources: tuple[SourceFile, ...]) -> Markup:
    head = ("Role", "File", "Id", "Digest", "Written by", "Created", "Seed")
    rows = [
        [
            tag("th", source.role, scope="row"),
            tag("td", source.file_name),
            tag("td", tag("code", source.file_id)),
            tag("td", tag("code", source.digest)),
            tag("td", source.producer),
            tag("td", source.created),
            tag("td", "" if source.seed is None else source.seed),
        ]
        for source in sources
    ]
    return table(head, rows, caption="Files that went in, named by id and digest.", class_="plain")


def _configuration(title: str, config: object) -> Markup:
    if not config:
        return Markup("")
    written = json.dumps(config, indent=2, default=str)
    return join([tag("h4", f"Configuration of {title}"), tag("pre", written)])
