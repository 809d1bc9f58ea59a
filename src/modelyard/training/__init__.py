"""Training of one network on arrays: a plain PyTorch loop on accelerate.

Importing this package costs nothing; each module is imported where it is needed:

- :mod:`~modelyard.training.parameters`: ``LoopParameters`` (without torch, for module tops);
- :mod:`~modelyard.training.loop`: ``train``, ``TrainingResult``;
- :mod:`~modelyard.training.prediction`: ``predict``;
- :mod:`~modelyard.training.weights`: ``save_weights``, ``load_weights``;
- :mod:`~modelyard.training.randomness`: ``seeded``, in which networks are built;
- :mod:`~modelyard.training.devices`: ``find_device``, ``find_precision``.

Beside this repository only torch, accelerate, numpy, safetensors and pydantic are needed: it runs in a bare CUDA image.
"""
