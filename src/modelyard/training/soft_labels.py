"""Labels between 0 and 1: smoothing and mixup, to be called in a project's loss.

``cross_entropy`` of torch takes them as they are: probabilities of shape (B, K).
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot


def smooth_labels(labels: Tensor, n_classes: int, smoothing: float) -> Tensor:
    """Returns probabilities (B, n_classes), float32: 1 - smoothing on the label, smoothing spread over all classes.

    Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, section 7. Two classes as one logit: column 1 of the answer.

    Args:
        labels: Class numbers, shape (B,), of any integer dtype or booleans.
        n_classes: K.
        smoothing: From 0 to 1.
    """
    hard = one_hot(labels.long(), n_classes).float()
    return hard * (1 - smoothing) + smoothing / n_classes


def mixup(inputs: Tensor, labels: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Returns each example of a batch blended with another one, and their labels blended alike.

    Zhang et al. 2018, https://arxiv.org/abs/1710.09412. The share is drawn once for the batch from Beta(alpha, alpha),
    by torch's generators, which the loop seeds for each epoch.

    Args:
        inputs: Floats of shape (B, ...).
        labels: Floats of shape (B,) or (B, K).
        alpha: Above 0; 0.2 is usual, larger blends more evenly. 0: nothing is blended.
    """
    if alpha == 0:
        return inputs, labels
    share = float(torch.distributions.Beta(torch.tensor(alpha), torch.tensor(alpha)).sample())
    other = torch.randperm(len(inputs)).to(inputs.device)
    return torch.lerp(inputs, inputs[other], share), torch.lerp(labels, labels[other], share)
