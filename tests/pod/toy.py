"""A vocabulary small enough to be read, and the rule of whole words spelt out."""

from __future__ import annotations

SPECIALS = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
WORDS = ["▁user", "▁item", "▁after", "▁what", "▁comes", "▁the", "▁", "_", ",", "?", ":", "(", ")", "a", "b", "c"]


def toy_pieces() -> list[tuple[str, float]]:
    """A few words, digits alone, in pairs, threes and with commas; many ids can be cut in two ways of one score."""
    pieces = [(word, -2.0 - 0.37 * place) for place, word in enumerate(WORDS)]
    pieces += [(str(digit), -5.0 - 0.25 * digit) for digit in range(10)]
    pieces += [(f"{pair:02d}", -7.0 - 0.125 * (pair * 7 % 32)) for pair in range(0, 100)]
    pieces += [(f"{digit}" * 3, -9.0) for digit in range(10)]
    return [*SPECIALS, *pieces, ("1,", -5.5), ("2,", -7.3)]


def words_by_rule(pieces: list[str]) -> list[int]:
    """PUBLISHED.md, 6, piece by piece: an id is the piece before a "_", the "_" and the digit pieces after it."""
    out = [0] * len(pieces)
    count = 0
    for place, piece in enumerate(pieces):
        if piece == "_":
            count += 1
            end = place + 1
            while end < len(pieces) and pieces[end].isdigit():
                end += 1
            for at in range(max(place - 1, 0), end):
                out[at] = count
    return out
