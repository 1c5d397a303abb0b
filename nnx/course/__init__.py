"""The exercises of ``nnx learn``: fifteen tasks, from a neuron to a convolution."""
