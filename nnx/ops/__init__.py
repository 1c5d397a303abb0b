"""What nnx computes: one file for each family of operations.

Each file shows an operation completely, in this order: the formula; the plain form with ``xp``, which runs on
every device and is the oracle of the tests; the form in place on NumPy, if that is faster; the CUDA kernels
and the form on CuPy. The compiled form is in the file of the same name that ends in ``_numba``, which is
imported only if Numba is installed. The backends (`nnx.backends`) combine these classes.

An operation writes into the arrays it is given, returns its first output, and does not change its inputs.
``x`` has shape (rows, inputs), ``y`` has shape (rows, units). In elementwise operations the output may *be*
the input (``y is x``), but may not overlap it otherwise. Operations on a GPU do not read device values on the
host, so a step can be queued without waiting.
"""
