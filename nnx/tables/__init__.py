"""Tables with columns of any kind, as numbers and codes that a network can learn from.

Importing this module imports scikit-learn.
"""

from nnx.libraries import needed

with needed("estimators", "nnx.tables"):
    from nnx.tables.encoder import TableEncoder
    from nnx.tables.files import read_table

__all__ = ["TableEncoder", "read_table"]
