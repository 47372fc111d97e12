"""Text from outside, made safe to show.

Reports, mail headers and file names are written by strangers (field-notes-reports.md F-54). A terminal obeys control
characters, and bidi and zero-width characters make a reader see another text than the one that is there: both are
shown as escapes. HTML, CSV and JSON have further rules of their own; they come on top.
"""

from __future__ import annotations

import unicodedata

# Control, format (bidi, zero-width, soft hyphen, tags), surrogate, line and paragraph separator: nobody can see them.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
ELLIPSIS = "…"


def printable(text: str, limit: int | None = None) -> str:
    r"""The text with every character that can't be seen as an escape: `\x1b`, `\n`, `\u202e`, `\U000e0001`.

    Everything else stays as it is, a backslash too: the result is for eyes, not for reading back.

    Args:
        text: any string, lone surrogates included; the result can always be encoded.
        limit: characters of the result at most (at least 1); a longer one ends in an ellipsis, never in half an escape.
    """
    if limit is not None and limit < 1:
        raise ValueError("limit must be at least 1")
    if text.isprintable():
        return text if limit is None or len(text) <= limit else text[: limit - 1] + ELLIPSIS
    if limit is None:
        return "".join(map(_shown, text))
    pieces = [_shown(character) for character in text[: limit + 1]]  # one more tells whether it was too long
    length = sum(map(len, pieces))
    if length <= limit:
        return "".join(pieces)
    while length > limit - 1:
        length -= len(pieces.pop())
    return "".join(pieces) + ELLIPSIS


def _shown(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) not in _HIDDEN:
        return character
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
