"""HTML that cannot be broken by text from a file: strings are escaped unless they are `Markup`."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = {"img", "meta", "input", "br"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Escape anything but `Markup`."""
    return value if isinstance(value, Markup) else Markup(escape(str(value)))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Put parts one after the other, escaping those that are not `Markup`."""
    return Markup(between.join(text(part) for part in parts))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """One element.

    Args:
        name: Its tag.
        children: Its content; strings are escaped.
        attributes: Underscores become hyphens and a trailing one falls off (`class_`); True stands alone,
            None and False are left out.
    """
    written = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        written.append(f" {key}" if value is True else f' {key}="{escape(str(value))}"')
    opening = f"<{name}{''.join(written)}>"
    return Markup(opening if name in VOID else f"{opening}{join(children)}</{name}>")


def table(
    head: Iterable[object], rows: Iterable[Iterable[Markup]], *, caption: str, **attributes: object
) -> Markup:
    """A table in a frame that scrolls sideways where the page is narrow; cells are made by the caller."""
    body = tag(
        "table",
        tag("caption", caption),
        tag(
            "thead",
            tag("tr", *[cell if isinstance(cell, Markup) else tag("th", cell, scope="col") for cell in head]),
        ),
        tag("tbody", *[tag("tr", *row) for row in rows]),
        **attributes,
    )
    return tag("div", body, class_="scroll", tabindex=0, role="region", aria_label=caption)
