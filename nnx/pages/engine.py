"""The engine that trains networks in a web page: JavaScript that computes what nnx computes in float64."""

from __future__ import annotations

from importlib import resources

PARTS = (
    *("checks", "activations", "random", "layers", "losses", "optimizers", "network"),
    *("model_file", "python_code", "names"),
)


def engine_script() -> str:
    """Return the engine as one script, which sets ``globalThis.nnxEngine``.

    Its files are in ``nnx/pages/javascript``. The script needs nothing else, and runs in browsers and
    in Node.js.
    """
    folder = resources.files("nnx.pages") / "javascript"
    texts = [(folder / f"{part}.js").read_text(encoding="utf-8") for part in PARTS]
    return 'globalThis.nnxEngine = (() => {\n"use strict";\n' + "\n".join(texts) + "})();\n"
