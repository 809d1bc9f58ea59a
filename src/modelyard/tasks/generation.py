"""Drawing sequences from a model: temperature, top-k, nucleus, and the loop that draws one token after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Generator, Tensor

State = TypeVar("State")


def sample(
    step: Callable[[Tensor, State], tuple[Tensor, State]],
    tokens: Tensor,
    state: State,
    generator: Generator,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> Iterator[Tensor]:
    """Yields the next token of each of B sequences, shape (B,), int64, without end: the caller decides when to stop.

    The same generator state gives the same tokens. Nothing is kept but ``state``, so a sequence of any length can be
    streamed while it is drawn.

    Args:
        step: ``step(tokens, state)`` takes one token of each sequence and returns the logits of the next, (B, V), and
            the new state: a recurrent state, or a cache of keys and values.
        tokens: The last token of each prompt, (B,).
        state: The state before ``tokens``.
        generator: On the device of the logits.
        temperature: See :func:`with_temperature`.
        top_k: See :func:`keep_top_k`; None: all.
        top_p: See :func:`keep_nucleus`; 1: all.
    """
    import torch

    while True:
        # The mode must not leak to the caller, who runs between two tokens.
        with torch.inference_mode():
            logits, state = step(tokens, state)
            logits = with_temperature(logits, temperature)
            if top_k is not None:
                logits = keep_top_k(logits, top_k)
            if top_p < 1:
                logits = keep_nucleus(logits, top_p)
            tokens = torch.multinomial(logits.float().softmax(dim=-1), 1, generator=generator).squeeze(-1)
        yield tokens


def with_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Returns logits divided by the temperature (> 0): 1 as learnt, below: safer, above: bolder."""
    return logits / temperature


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Returns logits (..., V) in which all but the k largest are -inf (Fan et al. 2018, https://arxiv.org/abs/1805.04833).

    Tokens that equal the k-th largest stay.
    """
    least = logits.topk(min(k, logits.shape[-1]), dim=-1).values[..., -1:]
    return logits.masked_fill(logits < least, -float("inf"))


def keep_nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Returns logits (..., V) in which all are -inf but the fewest whose probabilities add up to ``top_p``.

    Nucleus sampling (Holtzman et al. 2020, https://arxiv.org/abs/1904.09751); the likeliest token always stays.
    """
    probability, order = logits.softmax(dim=-1).sort(dim=-1, descending=True)
    is_behind = probability.cumsum(dim=-1) - probability >= top_p  # the tokens before have reached top_p already
    is_behind[..., 0] = False
    return logits.masked_fill(is_behind.scatter(-1, order, is_behind), -float("inf"))
