"""Networks as one file of plain code, without nnx: C, Python, JavaScript."""
