"""A small residual network on grey pictures, varied while it trains.

Imported only inside functions: this module needs torch. Shapes: B pictures, H and W pixels.
"""

from torch import Tensor, nn

from modelyard.tasks.images.augmentation import AugmentationParameters, augment
from modelyard.tasks.images.resnet import SmallResNet, as_pictures


class FailureNetwork(nn.Module):
    """Augmentation in training mode, then :class:`modelyard.tasks.images.resnet.SmallResNet`.

    Args:
        shape: Of a picture, (H, W).
        width: Channels after the first convolution.
        augmentation: By how much pictures are varied.
    """

    def __init__(self, shape: tuple[int, ...], width: int, augmentation: AugmentationParameters) -> None:
        super().__init__()
        self.resnet = SmallResNet(in_channels=1, n_outputs=1, width=width, n_blocks=2)
        self._shape, self._augmentation = shape, augmentation

    def forward(self, image: Tensor) -> Tensor:
        """Flat pictures (B, H * W), 0 to 255, to log-odds (B,)."""
        pictures = as_pictures(image, self._shape)
        if self.training:
            pictures = augment(pictures, self._augmentation)
        logits: Tensor = self.resnet(pictures)
        return logits
