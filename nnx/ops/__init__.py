"""What nnx computes: one file for each family of operations.

A file shows an operation whole, in this order: the formula; the plain form over ``xp``, which runs on every
device and is the oracle of the tests; the form in place on NumPy, where that is faster; the CUDA kernels and
the form on CuPy. Its compiled form is in the file of the same name that ends in ``_numba``, which is imported
only where Numba is installed. The backends (`nnx.backends`) are put together from these classes.

An operation writes into the arrays it is given, returns the first of its outputs, and leaves its inputs as
they were; ``x`` has shape (rows, inputs), ``y`` (rows, units). Elementwise operations allow the output to
*be* the input (``y is x``), never to overlap it otherwise. Nothing here reads a device value on the host, so
a step can be queued on a GPU without waiting.
"""
