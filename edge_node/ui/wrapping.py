"""Breaking text into lines, Chinese too: between any two ideographs, but not before closing or after opening marks. Pure.

Kivy breaks a line of Chinese by measuring ever longer prefixes, which takes ten times as long and leaves full stops alone
at the start of lines.
"""

from __future__ import annotations

from collections.abc import Callable

_NEVER_FIRST = frozenset("，。、；：！？）】》」』”’…—％%,.;:!?)]}·")
_NEVER_LAST = frozenset("（【《「『“‘([{")


def is_wide(character: str) -> bool:
    """Whether a line may break beside this character without a space."""
    return "\u2e80" <= character <= "\u9fff" or "\uff00" <= character <= "\uffef" or "\u3000" <= character <= "\u303f"


def pieces(text: str) -> list[str]:
    """Cut one paragraph into what must stay together; spaces go with the piece before them."""
    found: list[str] = []
    for character in text:
        if not found:
            found.append(character)
            continue
        before = found[-1][-1]
        if character == " " or character in _NEVER_FIRST or before in _NEVER_LAST:
            joined = True
        elif before == " ":
            joined = False
        else:
            joined = not (is_wide(before) or is_wide(character))
        if joined:
            found[-1] += character
        else:
            found.append(character)
    return found


def wrap(text: str, width: float, advance: Callable[[str], float]) -> list[str]:
    """Lines of at most ``width``, measured by ``advance`` of single characters; a longer piece is cut anywhere."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line, used = "", 0.0
        for piece in pieces(paragraph):
            size = sum(advance(character) for character in piece)
            bare = size - sum(advance(character) for character in piece[len(piece.rstrip()) :])
            if line and used + bare > width:
                lines.append(line.rstrip())
                line, used = "", 0.0
            if bare > width:
                for character in piece:
                    if line and used + advance(character) > width:
                        lines.append(line)
                        line, used = "", 0.0
                    line, used = line + character, used + advance(character)
            else:
                line, used = line + piece, used + size
        lines.append(line.rstrip())
    return lines
