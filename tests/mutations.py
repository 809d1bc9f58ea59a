"""Files that are damaged or strange, made from good ones: what fuzz tests feed to readers.

A test takes a bounded number of mutations. ``MODELYARD_FUZZ_S=300 pytest tests -k mutation -s`` takes as many as fit
into so many seconds for each reader, from another seed each time, and prints the count.
"""

import os
import random
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from modelyard.errors import ModelyardError

_NUMBERS = [
    value.to_bytes(size, order, signed=True)
    for size in (1, 2, 4, 8)
    for order in ("little", "big")
    for value in (0, 1, -1, 2 ** (8 * size - 1) - 1, -(2 ** (8 * size - 1)))
]
"""Where lengths, counts and offsets go wrong."""


def mutated(content: bytes, chance: random.Random, words: Sequence[bytes] = ()) -> bytes:
    """Returns ``content`` with one to six changes.

    Args:
        content: A good file.
        chance: Decides all of it.
        words: What belongs to the format and may stand in a wrong place.
    """
    made = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        at, length = chance.randrange(len(made) + 1), min(chance.choice((1, 2, 4, 8, 40)), len(made))
        begin = chance.randrange(len(made) - length + 1)
        piece = bytes(made[begin : begin + length])
        word = chance.choice((*words, piece)) if words else piece
        match chance.randrange(9):
            case 0 if at < len(made):
                made[at] ^= 1 << chance.randrange(8)
            case 1:
                made[at : at + 1] = chance.randbytes(1)
            case 2:
                made[at : at + length] = chance.choice(_NUMBERS)
            case 3:
                del made[at : at + length]
            case 4:
                made[at:at] = piece * chance.choice((1, 2, 50))
            case 5:
                made[at : at + length] = piece
            case 6 if chance.random() < 0.3:
                del made[at:]
            case _:
                made[at : at + chance.choice((0, len(word)))] = word
    return bytes(made)


def with_checksums(png: bytes) -> bytes:
    """Returns a PNG whose chunks have the right checksums again, so that a reader gets to see what was changed."""
    made, at = bytearray(png), 8
    while at + 12 <= len(made):
        (length,) = struct.unpack(">I", made[at : at + 4])
        end = at + 8 + length
        if end + 4 > len(made):
            break
        made[end : end + 4] = struct.pack(">I", zlib.crc32(made[at + 4 : end]))
        at = end + 4
    return bytes(made)


def assert_every_mutation_is_answered(
    read: Callable[[Path], object],
    path: Path,
    contents: Sequence[bytes],
    *,
    words: Sequence[bytes] = (),
    mend: Callable[[bytes], bytes] = bytes,
    at_most: int = 400,
) -> None:
    """Asserts that each mutation is read, or refused with one :class:`ModelyardError`.

    Args:
        read: Reads the file and asserts whatever holds for all that is read.
        path: Where mutations are written; a failing one stays there.
        contents: Good files; each must be read.
        words: See :func:`mutated`.
        mend: Applied to half of the mutations.
        at_most: Mutations in the suite; as many as fit where ``MODELYARD_FUZZ_S`` says how long.
    """
    seconds = float(os.environ.get("MODELYARD_FUZZ_S", "0"))
    seed = time.time_ns() if seconds else 0
    chance, ends, answers = random.Random(seed), time.monotonic() + seconds, Counter()
    for content in contents:
        path.write_bytes(content)
        read(path)
    slowest = 0.0
    while time.monotonic() < ends if seconds else answers.total() < at_most:
        content = mutated(chance.choice(contents), chance, words)
        path.write_bytes(mend(content) if chance.random() < 0.5 else content)
        began = time.monotonic()
        try:
            read(path)
            answers["read"] += 1
        except ModelyardError:
            answers["refused"] += 1
        except BaseException as error:  # a panic of polars is no Exception
            error.add_note(f"mutation {answers.total()} of seed {seed}, kept as {path}: {path.read_bytes()[:400]!r}")
            raise
        slowest = max(slowest, time.monotonic() - began)
    if seconds:
        print(f"\n{path.name}: {answers.total():,}, {dict(answers)}; slowest {slowest:.2f} s")  # noqa: T201  # a long run's result
    assert min(answers["read"], answers["refused"]) > 0, f"mutations that teach nothing: {dict(answers)}"
