"""Write a trained model as code for ``nnx export``: with its scaling and its names, and rows to check it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any


def write(network: Any, prepared: Any, x: Any, out: Path, form: str, real: str | None, title: str) -> str:
    """Write the file, and return a sentence on its size.

    Parameters
    ----------
    network : Network
    prepared : Preparation or None
    x : array
        Rows as they are in the user's data, for the self-check.
    out : path
    form : str
        The language.
    real : str or None
        The type of the numbers in C.
    title : str
        What the file is called in its head.
    """
    from nnx.files import make_folder
    from nnx.standalone import Examples, Meaning, examples_of, export

    x = x[: examples_of(network)]
    if prepared is None:
        meaning, y = Meaning(title=title), network.predict(x)
    else:
        meaning, y = meaning_of(prepared, network, title), prepared.predict(network, x, whole=True)
    make_folder(out.parent)
    given = {} if real is None else {"type": real}
    sentence = export(network, out, form, meaning=meaning, examples=Examples(x, y), **given)
    return f"{sentence}; it checks itself on {len(x)} rows"


def meaning_of(prepared: Any, network: Any, title: str) -> Any:
    """Return the scaling and the names of a model that ``nnx train`` made."""
    from nnx.experiments.train.preparation import MEAN_AND_SPREAD
    from nnx.standalone import Meaning

    whole = prepared.task == "autoencoding" and network.encoder_length is not None
    return Meaning(
        inputs=prepared.inputs,
        outputs=prepared.inputs if whole else prepared.outputs,
        task=prepared.task,
        features=prepared.layout.names(),
        classes=prepared.classes,
        targets=tuple(prepared.names(math.prod(network.output_shape)) or ()),
        several=prepared.several,
        spread=prepared.several == MEAN_AND_SPREAD,
        title=title,
    )
