"""HTML that cannot be broken out of: whatever is not known to be markup is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from bench.report.inert import plain

# Shapes of SVG close themselves: an open one would take what follows for its content.
_VOID = ("meta", "rect", "circle", "path", "polyline")


class Html(str):
    """Text that is markup already; only `tag` and what is made of it give some."""

    __slots__ = ()


Child = str | None | Iterable["Child"]
Attribute = str | float | bool | None


def escape(text: str) -> Html:
    """Text of any origin as text of a page: one line, nothing in it is markup, control and direction marks show as
    their code points. A space at either end stays, as it may part two elements.
    """
    line = f"{text[:1].isspace() * ' '}{plain(text)}{text[-1:].isspace() * ' '}"
    return Html(html.escape(line, quote=True))


def tag(name: str, *children: Child, **attributes: Attribute) -> Html:
    """An element. children: markup as it is, other texts escaped, None left out.

    attributes: values escaped; None and False are left out, True stands alone. `cls` is class, `_` in names is `-`.
    """
    # 0 is a value, though it equals False.
    shown = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    return Html(f"<{name}{shown}/>" if name in _VOID else f"<{name}{shown}>{join(children)}</{name}>")


def join(children: Child, between: str = "") -> Html:
    """Markup of a sequence, in order. between: markup that stands between its parts."""
    if children is None:
        return Html("")
    if isinstance(children, str):
        return children if isinstance(children, Html) else escape(children)
    return Html(between.join(join(child) for child in children))


def _attribute(name: str, value: Attribute) -> str:
    name = "class" if name == "cls" else name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f' {name}="{escape(text)}"'


def address(*parts: str) -> str:
    """A relative address of a file below this one's folder; names of any kind stay names."""
    return "./" + "/".join(quote(part, safe="") for part in parts)


def named(text: str) -> str:
    """An id made of letters and digits; equal for equal texts."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split()) or "part"


def listing(items: Sequence[Child], cls: str | None = None) -> Html | None:
    """An unordered list; None of nothing."""
    return tag("ul", [tag("li", item) for item in items], cls=cls) if items else None


def grid(
    head: Sequence[Child],
    rows: Iterable[Sequence[Child]],
    caption: Child,
    *,
    numbers: Sequence[int] = (),
) -> Html:
    """A sortable table that scrolls by itself where the page is too narrow. numbers: columns that hold figures.

    The first cell of a row is its header.
    """
    heads = [tag("th", text, scope="col", cls="num" if at in numbers else None) for at, text in enumerate(head)]
    body = []
    for row in rows:
        cells = [tag("th", row[0], scope="row")]
        cells += [tag("td", text, cls="num" if at in numbers else None) for at, text in enumerate(row[1:], start=1)]
        body.append(tag("tr", cells))
    return scrolling(
        tag("table", tag("caption", caption), tag("thead", tag("tr", heads)), tag("tbody", body), cls="sortable"),
        caption if isinstance(caption, str) else "table",
    )


def scrolling(table: Html, label: str) -> Html:
    """A table in a box that scrolls sideways, by keyboard too."""
    return tag("div", table, cls="scroll", tabindex="0", role="region", aria_label=label)


def facts(pairs: Iterable[tuple[str, Child]]) -> Html:
    """A list of names and what they are."""
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs])
