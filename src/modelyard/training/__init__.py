"""Training of one network on arrays: a plain PyTorch loop on accelerate.

Importing this package costs nothing; each module is imported where it is needed:

- :mod:`~modelyard.training.parameters`: ``LoopParameters`` (standard library only, for module tops);
- :mod:`~modelyard.training.loop`: ``train``, ``TrainingResult``;
- :mod:`~modelyard.training.prediction`: ``predict``;
- :mod:`~modelyard.training.weights`: ``save_weights``, ``load_weights``;
- :mod:`~modelyard.training.randomness`: ``seeded``, in which networks are built;
- :mod:`~modelyard.training.devices`: ``find_device``, ``cpu_threads``.

Beside this package only torch, accelerate, numpy and safetensors are needed, so it runs in a bare CUDA image.
"""
