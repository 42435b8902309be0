"""Tables to be downloaded, carried in the page itself."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from urllib.parse import quote

from ctd_analysis.report.html import Markup, tag


def csv_text(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table as CSV, None as an empty field."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return buffer.getvalue()


def csv_link(file_name: str, head: Iterable[str], rows: Iterable[Iterable[object]]) -> Markup:
    """A link that downloads a table as CSV."""
    address = "data:text/csv;charset=utf-8," + quote(csv_text(head, rows))
    return tag("a", f"{file_name}", href=address, download=file_name, class_="download")
