"""Sequences are drawn from what temperature, top-k and the nucleus leave of a distribution, token by token."""

from itertools import islice

import pytest
import torch

from modelyard.tasks.generation import keep_nucleus, keep_top_k, sample, with_temperature

PROBABILITIES = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.05, 0.15, 0.3, 0.5]])


def kept(logits):
    return (logits > -float("inf")).tolist()


def test_top_k_keeps_the_largest_and_their_equals():
    logits = PROBABILITIES.log()
    assert kept(keep_top_k(logits, 2)) == [[True, True, False, False], [False, False, True, True]]
    assert kept(keep_top_k(logits, 9)) == [[True] * 4] * 2
    assert kept(keep_top_k(torch.tensor([1.0, 2.0, 2.0, 2.0]), 2)) == [False, True, True, True]


@pytest.mark.parametrize(("top_p", "n_kept"), [(1e-9, 1), (0.49, 1), (0.51, 2), (0.79, 2), (0.81, 3), (1.0, 4)])
def test_the_nucleus_is_the_fewest_tokens_that_reach_its_probability(top_p, n_kept):
    first, second = kept(keep_nucleus(PROBABILITIES.log(), top_p))
    assert first == [True] * n_kept + [False] * (4 - n_kept)
    assert second == first[::-1]


def test_what_is_kept_keeps_its_odds():
    logits = PROBABILITIES.log()
    for filtered in (keep_top_k(logits, 2), keep_nucleus(logits, 0.7)):
        assert filtered.softmax(-1)[0].tolist() == pytest.approx([0.625, 0.375, 0, 0])


def test_temperature_sharpens_and_flattens():
    logits = PROBABILITIES.log()
    cold, warm, hot = (with_temperature(logits, temperature).softmax(-1)[0, 0] for temperature in (0.1, 1.0, 100.0))
    assert (cold > 0.99, round(float(warm), 5), hot < 0.26) == (True, 0.5, True)


def chain(tokens, state):
    """A Markov chain that mostly counts upwards; its state counts the tokens."""
    following = torch.nn.functional.one_hot((tokens + 1) % 4, 4)
    return (0.6 * following + 0.1).log(), state + 1


def drawn(n, seed=0, start=(0, 2), **options):
    generator = torch.Generator().manual_seed(seed)
    return torch.stack(list(islice(sample(chain, torch.tensor(start), 0, generator, **options), n)))


def test_tokens_follow_the_steps_distribution():
    tokens = drawn(4_000)
    is_next = (tokens[1:] == (tokens[:-1] + 1) % 4).double().mean()
    assert float(is_next) == pytest.approx(0.7, abs=0.026)  # five standard errors of 8,000 draws


def test_the_same_seed_draws_the_same_and_a_longer_sequence_begins_with_the_shorter():
    assert torch.equal(drawn(20), drawn(20))
    assert torch.equal(drawn(20), drawn(50)[:20])
    assert not torch.equal(drawn(20), drawn(20, seed=1))


@pytest.mark.parametrize("options", [{"temperature": 0.01}, {"top_k": 1}, {"top_p": 0.5}])
def test_each_option_can_make_the_choice_certain(options):
    assert drawn(6, **options).T.tolist() == [[1, 2, 3, 0, 1, 2], [3, 0, 1, 2, 3, 0]]


def test_between_two_tokens_the_caller_is_not_in_inference_mode():
    tokens = sample(chain, torch.tensor([0]), 0, torch.Generator().manual_seed(0))
    next(tokens)
    assert not torch.is_inference_mode_enabled()
    assert torch.ones(1, requires_grad=True).mul(2).requires_grad
