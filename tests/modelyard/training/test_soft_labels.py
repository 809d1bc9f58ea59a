import pytest
import torch
from torch.nn.functional import cross_entropy

from modelyard.training.soft_labels import mixup, smooth_labels


def test_smoothing_is_that_of_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(9, 4), torch.randint(4, (9,))
    smooth = smooth_labels(labels, 4, 0.1)
    assert smooth.sum(dim=1).tolist() == pytest.approx([1] * 9)
    assert cross_entropy(logits, smooth) == pytest.approx(cross_entropy(logits, labels, label_smoothing=0.1))
    assert smooth_labels(torch.tensor([True]), 2, 0.2)[0].tolist() == pytest.approx([0.1, 0.9])


def test_mixup_blends_inputs_and_labels_alike() -> None:
    labels = torch.arange(6.0)
    inputs = labels[:, None, None].expand(6, 2, 3)
    torch.manual_seed(1)
    mixed, soft = mixup(inputs, labels, 0.4)
    assert torch.allclose(mixed, soft[:, None, None].expand(6, 2, 3))
    assert soft.mean() == pytest.approx(2.5)
    assert not torch.equal(soft, labels)
    torch.manual_seed(1)
    assert torch.equal(mixup(inputs, labels, 0.4)[0], mixed)
    assert mixup(inputs, labels, 0)[0] is inputs
