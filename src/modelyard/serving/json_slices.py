"""JSON cut into its rows without being parsed: how much there is is known before any of it is looked at.

Every step is a short one: in a thread beside the event loop, none holds the interpreter for more than some
milliseconds, whatever the text. What is in a row is for the parser to judge.
"""

import re
from collections.abc import Iterator

_DEPTH = 12
_SHORT = 32_768
"""Bytes of a value that one regular expression may look at."""

_MOST_TOKENS = 100_000
"""Brackets, strings and what stands between them, in one value that is longer."""

_MOST_ESCAPES = 1_500_000
"""Backslashes in a whole text: its strings take that much longer to read."""
_SPACE = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'


def _nested(depth: int) -> bytes:
    inside = rb'(?:[^\[\]{}"]++|' + _STRING + (b"|" + _nested(depth - 1) if depth else b"") + rb")*+"
    return rb"[\[{]" + inside + rb"[\]}]"


_VALUE = re.compile(_SPACE + rb"(" + _nested(_DEPTH) + b"|" + _STRING + rb'|[^\s,\[\]{}"]++)' + _SPACE, re.DOTALL)
_KEY = re.compile(_SPACE + b"(" + _STRING + b")" + _SPACE + b":", re.DOTALL)
_OPENING = re.compile(_SPACE + rb"([\[{])" + _SPACE)
_BLANK = re.compile(_SPACE)
_END = re.compile(_SPACE + rb"\Z")
_BACKSLASH = ord("\\")
_BETWEEN = re.compile(rb'[^\[\]{}"]{1,65536}+', re.DOTALL)
_STRING_OR_COMMA = re.compile(_STRING + b"|,", re.DOTALL)


class BrokenJsonError(Exception):
    """It is no JSON, or nested too deep."""

    def __init__(self, position: int) -> None:
        super().__init__(f"Invalid JSON near byte {position}, or nested deeper than {_DEPTH} levels")


class DenseJsonError(Exception):
    """It has more in it than any request needs."""


def check_density(text: bytes) -> None:
    """Checks that its strings can be read in a short time.

    Raises:
        DenseJsonError: They cannot.
    """
    if text.count(b"\\") > _MOST_ESCAPES:
        raise DenseJsonError(f"more than {_MOST_ESCAPES:,} escaped characters")


def opening(data: bytes) -> bytes:
    """``[`` or ``{``, whichever the text begins with; empty for anything else."""
    found = _OPENING.match(data)
    return found[1] if found else b""


def first_key(data: bytes) -> bytes:
    """The first key of an object, with its quotes and without a look at its value; empty for anything else."""
    found = _OPENING.match(data)
    key = _KEY.match(data, found.end()) if found and found[1] == b"{" else None
    return key[1] if key else b""


def elements(array: bytes) -> Iterator[bytes]:
    """The text of each element.

    Raises:
        BrokenJsonError: It is no array.
        DenseJsonError: An element has too much in it.
    """
    for _, value in _parts(array, b"[", b"]"):
        yield value


def members(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Key (with its quotes) and text of the value of each member.

    Raises:
        BrokenJsonError: It is no object.
        DenseJsonError: A value has too much in it.
    """
    return _parts(text, b"{", b"}")


def has_more_values(text: bytes, limit: int) -> bool:
    """Whether there are more than ``limit`` values in it, at any depth."""
    if text.count(b",") < limit:
        return False
    n_commas = 0
    for found in _STRING_OR_COMMA.finditer(text):
        n_commas += found[0] == b","
        if n_commas >= limit:
            return True
    return False


def _parts(text: bytes, first: bytes, last: bytes) -> Iterator[tuple[bytes, bytes]]:
    found = _OPENING.match(text)
    if not found or found[1] != first:
        raise BrokenJsonError(0)
    position = found.end()
    is_empty = text[position : position + 1] == last
    while not is_empty:
        key = b""
        if first == b"{":
            found = _KEY.match(text, position)
            if not found:
                raise BrokenJsonError(position)
            key, position = found[1], found.end()
        value, position = _value(text, position)
        yield key, value
        sign = text[position : position + 1]
        if sign == last:
            break
        if sign != b",":
            raise BrokenJsonError(position)
        position += 1
    if not _END.match(text, position + 1):
        raise BrokenJsonError(position)


def _value(text: bytes, position: int) -> tuple[bytes, int]:
    """The value that begins there, and where what comes after it begins."""
    window = position + _SHORT
    found = _VALUE.match(text, position, window)
    if found and (found.end() < window or window >= len(text)):
        return found[1], found.end()
    if window >= len(text):
        raise BrokenJsonError(position)
    start = _after(_BLANK, text, position)
    end = _end_of_long(text, start)
    return text[start:end], _after(_BLANK, text, end)


def _end_of_long(text: bytes, start: int) -> int:
    """End of a text, a list or an object, found in many short steps."""
    depth, position = 0, start
    for _ in range(_MOST_TOKENS):
        sign = text[position : position + 1]
        if sign == b'"':
            position = _end_of_string(text, position)
        elif sign in (b"[", b"{"):
            depth, position = depth + 1, position + 1
        elif sign in (b"]", b"}"):
            depth, position = depth - 1, position + 1
        elif depth and (found := _BETWEEN.match(text, position)):
            position = found.end()
            continue
        else:  # a number of many digits, an end that is missing, or nothing that JSON has
            raise BrokenJsonError(position)
        if depth < 0 or depth > _DEPTH:
            raise BrokenJsonError(position)
        if depth == 0:
            return position
    raise DenseJsonError(f"more than {_MOST_TOKENS:,} lists, objects and texts in one row")


def _end_of_string(text: bytes, start: int) -> int:
    end = start
    while True:
        end = text.find(b'"', end + 1)
        if end < 0:
            raise BrokenJsonError(start)
        n_backslashes = 0
        while text[end - 1 - n_backslashes] == _BACKSLASH:
            n_backslashes += 1
        if n_backslashes % 2 == 0:
            return end + 1


def _after(pattern: re.Pattern[bytes], text: bytes, position: int) -> int:
    found = pattern.match(text, position)
    return found.end() if found else position
