"""Prompt templates: one bare and several worded ones a task, read from a file and checked.

In training a template is drawn for each sample; validation and testing use the bare one (PUBLISHED.md, 8).
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from bench.errors import UserError

SLOTS: dict[str, tuple[str, str]] = {
    "explanation": ("user", "item"),
    "sequential": ("user", "history"),
    "topn": ("user", "candidates"),
}
"""The tasks, in the order of their prompts, and the slots each template of theirs must hold."""

_OWN_FILE = "templates.toml"
_SLOT = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Template:
    """One wording of a task's question.

    task: a key of SLOTS.
    text: with each slot of the task once, "{user}" and the item or list of items.
    join: what stands between the items of a list.
    """

    task: str
    text: str
    join: str = " "

    @cached_property
    def literals(self) -> tuple[str, str, str]:
        """The text before, between and after the two slots."""
        before, between, after = _SLOT.split(self.text)[::2]
        return before, between, after

    @cached_property
    def user_first(self) -> bool:
        """Whether the user stands before the items."""
        return _SLOT.findall(self.text)[0] == "user"

    def fill(self, user: str, items: list[str]) -> str:
        """The text for a user and items, given by their names."""
        before, between, after = self.literals
        listed = self.join.join(items)
        first, second = (user, listed) if self.user_first else (listed, user)
        return f"{before}{first}{between}{second}{after}"


@dataclass(frozen=True)
class Templates:
    """All templates of a run.

    bare:   task -> the template of ids alone.
    worded: task -> the others.
    """

    bare: Mapping[str, Template]
    worded: Mapping[str, tuple[Template, ...]]

    def of(self, task: str) -> tuple[Template, ...]:
        """Every template of a task, the bare one first."""
        return (self.bare[task], *self.worded[task])

    @cached_property
    def digest(self) -> str:
        """Hex digest of every wording and its order: part of a run's identity."""
        listed = [(t.task, t.text, t.join) for task in SLOTS for t in self.of(task)]
        return hashlib.sha256(repr(listed).encode()).hexdigest()[:16]


def load_templates(path: Path | None = None) -> Templates:
    """Read a templates file, by default the suite's own.

    A table a task, with `bare` and a list `worded`; a template is a string, or a table of `text` and `join`.
    Raises UserError that names file, field and line.
    """
    name = str(path) if path is not None else f"pod/{_OWN_FILE}"
    try:
        text = (path or files("pod").joinpath(_OWN_FILE)).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", name, "give a templates file") from error
    except UnicodeDecodeError as error:
        raise UserError("not UTF-8 text", name, "save it as UTF-8") from error
    return parse_templates(text, name)


def parse_templates(text: str, name: str) -> Templates:
    """The templates in the content of a file. name: the file, for messages. Raises UserError as `load_templates`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"not TOML: {error}", name, "see pod/templates.toml for the form") from error
    reader = _Reader(name, text)
    for task in table:
        if task not in SLOTS:
            raise reader.error(f"unknown task '{task}'", task, "", f"the tasks are {', '.join(SLOTS)}")
    for task in SLOTS:
        if not isinstance(table.get(task), dict):
            raise reader.error(f"no templates for {task}", task, "", f"add a table [{task}] with bare and worded")
    bare = {task: reader.bare(task, table[task]) for task in SLOTS}
    return Templates(bare, {task: reader.worded(task, table[task]) for task in SLOTS})


@dataclass(frozen=True)
class _Reader:
    """Templates out of a parsed file. name: for messages. text: the file, where lines are looked up."""

    name: str
    text: str

    def bare(self, task: str, table: Mapping[str, Any]) -> Template:
        if "bare" not in table:
            raise self.error("no bare template", f"{task}.bare", "", f"add bare = '{_bare_text(task)}'")
        for key in table:
            if key not in ("bare", "worded"):
                raise self.error("unknown field", f"{task}.{key}", key, "a task has bare and worded")
        template = self.template(task, f"{task}.bare", table["bare"])
        if any(part.strip() for part in (*template.literals, template.join)):
            raise self.error("the bare template holds words", f"{task}.bare", template.text, "leave ids alone in it")
        return template

    def worded(self, task: str, table: Mapping[str, Any]) -> tuple[Template, ...]:
        listed = table.get("worded", [])
        if not isinstance(listed, list):
            raise self.error("not a list", f"{task}.worded", "worded", "give a list of templates")
        return tuple(self.template(task, f"{task}.worded[{i}]", value) for i, value in enumerate(listed))

    def template(self, task: str, field: str, value: Any) -> Template:
        """One template, checked."""
        given = {"text": value} if isinstance(value, str) else value
        if not isinstance(given, dict) or not isinstance(given.get("text"), str) or not set(given) <= {"text", "join"}:
            raise self.error("not a template", field, "", "give a string, or a table of text and join")
        text, join = given["text"], given.get("join", " ")
        wanted = SLOTS[task]
        found = _SLOT.findall(text)
        for slot in found:
            if slot not in wanted:
                fix = f"the slots of {task} are {' and '.join(f'{{{name}}}' for name in wanted)}"
                raise self.error(f"unknown slot '{{{slot}}}'", field, text, fix)
        for slot in wanted:
            if found.count(slot) != 1:
                what = f"slot '{{{slot}}}' is missing" if slot not in found else f"slot '{{{slot}}}' stands twice"
                raise self.error(what, field, text, "each slot stands exactly once")
        if not isinstance(join, str) or not join:
            raise self.error("join is not text", field, text, "give what stands between two items")
        literal = _SLOT.sub("", text) + join
        if "{" in literal or "}" in literal:
            raise self.error("a brace that closes or opens nothing", field, text, "braces stand around slots alone")
        if "_" in literal:
            # The authors' code, and so ours, takes every "_" for the middle of an id.
            raise self.error("an underscore outside the ids", field, text, "write it without")
        template = Template(task, text, join)
        if not parted(template.literals[1]) or not parted(join):
            raise self.error("two ids in one word", field, text, "put a space between the slots, and one in join")
        if any(part[:1].isdigit() for part in (*template.literals[1:], join)):
            raise self.error("a digit right after an id", field, text, "put a space between them")
        return template

    def error(self, what: str, field: str, near: str, fix: str) -> UserError:
        """The error for a field, with the line where `near` first stands in the field's table."""
        rows = list(enumerate(self.text.splitlines(), 1))
        table = next((place for place, row in rows if row.strip() == f"[{field.split('.')[0]}]"), 0)
        line = next((place for place, row in rows[table:] if near and near in row), None)
        return UserError(what, f"{self.name}{f', line {line}' if line else ''}, {field}", fix)


def parted(text: str) -> bool:
    """Whether a text between two ids makes them words of their own."""
    return any(letter.isspace() for letter in text)


def _bare_text(task: str) -> str:
    return " ".join(f"{{{slot}}}" for slot in SLOTS[task])
