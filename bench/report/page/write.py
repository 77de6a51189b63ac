"""The page as a file: one that opens from disk, asks no network for anything and reads well without its script."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path

from bench import __version__
from bench.report.files import write_text
from bench.report.page.browse import explanations_section, users_section
from bench.report.page.claims import comparisons_section, verdicts_section
from bench.report.page.contents import Contents
from bench.report.page.figures import figure_sections
from bench.report.page.markup import Child, Html, tag
from bench.report.page.runs import runs_section
from bench.report.page.summary import summary
from bench.report.page.tables import table_section

FILE = "report.html"


def write_page(contents: Contents, suffix: str = "") -> Path:
    """Write report.html beside the tables; returns its path.

    suffix: as of the tables' files. Equal contents give equal bytes.
    Raises UserError where a file of a run cannot be read.
    """
    path = contents.folder / f"{Path(FILE).stem}{suffix}.html"
    write_text(path, page(contents))
    contents.shown.write(contents.folder / "runs")
    return path


def page(contents: Contents) -> str:
    """The whole page as text."""
    name = f"{contents.plan.card.name}, {contents.plan.preset}"
    tables = [table_section(table) for table in contents.tables]
    parts: list[tuple[str, str, Child]] = [
        ("summary", "Summary", summary(contents)),
        ("tables", "Tables", _part("tables", "Tables", tables, "No table is part of this report.")),
        ("comparisons", "Comparisons", comparisons_section(contents)),
        ("verdicts", "Verdicts", verdicts_section(contents)),
        ("figures", "Figures", _part("figures", "Figures", list(figure_sections(contents)), "")),
        ("runs", "Runs", runs_section(contents)),
        ("users", "Users", users_section(contents)),
        ("explanations", "Explanations", explanations_section(contents)),
    ]
    parts = [part for part in parts if part[2] is not None]
    links = [tag("a", title, href=f"#{anchor}") for anchor, title, _ in parts]
    head = tag(
        "header",
        tag("p", tag("a", "All results", href="../../index.html")),
        tag("h1", f"Podium: {name}"),
        tag("nav", links, aria_label="Parts of this page"),
    )
    return document(f"{name} – Podium", [head, tag("main", [part for *_, part in parts], id="main"), _foot()])


def _part(name: str, title: str, sections: list[Html], nothing: str) -> Html:
    return tag("section", tag("h2", title), sections or tag("p", nothing, cls="missing"), id=name)


def _foot() -> Html:
    source = "POD: Li, Zhang and Chen, Prompt Distillation for Efficient LLM-based Recommendation, CIKM 2023"
    return tag("footer", f"Written by podium {__version__} from the records beside it. {source}.")


def document(title: str, body: Child) -> str:
    """A page around a body. Its policy allows this style and this script alone, and no connection at all."""
    style, script = _file("page.css"), _file("page.js")
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", style),
    )
    skip = tag("a", "To the content", href="#main", cls="skip")
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', skip, body, tag('script', script)), lang='en')}\n"


def _file(name: str) -> Html:
    """A file of this package, which is ours and so markup."""
    return Html(files("bench.report.page").joinpath(name).read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
