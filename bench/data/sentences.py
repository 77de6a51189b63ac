"""Real reviews cut into sentences: markup and addresses out, odd spacing and odd punctuation survived."""

from __future__ import annotations

import html
import re
import unicodedata

_TAG = re.compile(r"<(?:br|/?p|/?div|/?li|/?ul|hr)\b[^<>]{0,40}>", re.IGNORECASE)
_OTHER_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|\[\[(?:VIDEOID|ASIN)[^\]]{0,200}\]\]")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\w+|\b[\w-]+\.(?:com|net|org)\b\S*", re.IGNORECASE)
_SAME = str.maketrans(
    {"‘": "'", "’": "'", "`": "'", "´": "'", "“": '"', "”": '"', "–": "-", "—": " - ", "…": "...", "\xa0": " "}
)
_SMILEY = re.compile(r"(?<![\w(])[:;=8]['^o-]?[()DPp|/\\\]\[](?![\w)])|:-?D(?=[A-Z\s]|$)|<3|\^_\^")
# A stop that ends nothing: an abbreviation, or a single letter as in "e.g." and "U.S."
_ABBREVIATION = re.compile(
    r"\b(?:mr|mrs|ms|dr|jr|sr|st|vs|etc|approx|incl|no|nos|vol|fig|inc|ltd|co|oz|lb|lbs|ft|min|max|dept|est|misc"
    r"|(?:[a-z]\.)*(?<!')[a-z]|(?<=\d )in)\.$",
    re.IGNORECASE,
)
# Where a sentence may end: several stops or a "!" before anything, one stop before a blank, or one stop glued between
# words ("affordable.I did", "nice.* it"); never within a number.
_STOP = re.compile(
    r"""(?:[.!?]{2,}|[!?])["')\]]*\s*|\.["')\]]*(?:\s+|$)"""
    r"""|(?<=[a-z]{2})\.(?=\d{1,2}\)|[*-]|[A-Z][a-z']*\b)|(?<=[a-z]{3})\.(?=[a-z]{2,}\b)|\s*\n\s*"""
)
_BLANKS = re.compile(r"[^\S\n]+")


def clean_text(text: str) -> str:
    """Text without entities, tags, addresses, smileys, emoji and control characters; lines kept, other blanks single.

    Curly quotes and long dashes become plain ones; accented letters stay, composed (NFC).
    """
    for _ in range(2):  # "&amp;#34;" is common: escaped twice
        if "&" not in text:
            break
        text = html.unescape(text)
    if "<" in text or "[" in text:
        text = _OTHER_TAG.sub(" ", _TAG.sub("\n", text))
    if "." in text or "@" in text:
        text = _ADDRESS.sub(" ", text)
    text = _SMILEY.sub(" ", text.replace("\r", "\n").translate(_SAME))
    if not text.isascii():
        kept = (c if unicodedata.category(c)[0] not in "CS" or c in "\n$+=<>^~|" else " " for c in text)
        text = unicodedata.normalize("NFC", "".join(kept))
    return _BLANKS.sub(" ", text).strip()


def split_sentences(text: str) -> list[str]:
    """The sentences of a review in order, end marks included, without blank ones.

    Stops of abbreviations and numbers do not end a sentence; a missing blank after a stop, rows of marks ("!!!",
    "...") and line ends do. Applies `clean_text` first.
    """
    text = clean_text(text)
    sentences: list[str] = []
    start = 0
    for match in _STOP.finditer(text):
        piece = text[start : match.end()]
        if match.group().strip() == "." and _ABBREVIATION.search(piece.rstrip()) and _goes_on(text, match.end()):
            continue
        if piece.strip():
            sentences.append(piece.strip())
        start = match.end()
    if text[start:].strip():
        sentences.append(text[start:].strip())
    return sentences


def _goes_on(text: str, place: int) -> bool:
    """Whether what follows an abbreviation's stop continues the sentence: it does not where the text ends."""
    return bool(text[place : place + 1].strip())
