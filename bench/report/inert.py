"""Text from outside made harmless: no control marks, no spreadsheet formulas, no LaTeX commands."""

from __future__ import annotations

import unicodedata

_FORMULA = ("=", "+", "-", "@")
# Categories of characters that are not seen, or that turn what stands around them: control, format,
# surrogate, private, unassigned, line and paragraph separators.
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\textasciigrave{}",
    "'": "'",
    "–": "--",
    "—": "---",
    "‘": "'",
    "’": "'",
    "“": "''",
    "”": "''",
    "…": r"\dots{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "ø": r"\o{}",
    "ł": r"\l{}",
}
_ACCENTS = {
    "\u0300": r"\`",
    "\u0301": r"\'",
    "\u0302": r"\^",
    "\u0303": r"\~",
    "\u0308": r"\"",
    "\u030a": r"\r",
    "\u030c": r"\v",
    "\u0327": r"\c",
}


def plain(text: str) -> str:
    """One line without control or direction marks; those show as their code points."""
    spaced = " ".join(text.split())
    return "".join(f"[U+{ord(c):04X}]" if unicodedata.category(c) in _UNSEEN else c for c in spaced)


def csv_text(text: str) -> str:
    """Plain text that no spreadsheet takes for a formula."""
    tame = plain(text)
    return f"'{tame}" if tame.startswith(_FORMULA) else tame


def latex_text(text: str) -> str:
    """Plain text as pure ASCII LaTeX that typesets itself: nothing in it is a command."""
    return "".join(_latex_char(c) for c in plain(text))


def _latex_char(char: str) -> str:
    if char in _LATEX:
        return _LATEX[char]
    if char.isascii():
        return char
    base, *rest = unicodedata.normalize("NFD", char)
    if base.isascii() and base.isalpha() and len(rest) == 1 and rest[0] in _ACCENTS:
        letter = rf"\{base}" if base in "ij" else base
        return f"{_ACCENTS[rest[0]]}{{{letter}}}"
    return f"[U+{ord(char):04X}]"
