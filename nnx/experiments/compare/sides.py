"""The frameworks that nnx is compared with: names, requirements, problems they can do, differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from nnx.errors import ConfigurationError, MissingLibraryError, nearest

ROOM = "nnx.experiments.compare.workers"
AUTOENCODERS = ("deep", "shallow")
XOR = ("xor_deep", "xor_shallow")
CLASSIFIER = "classifier"  # of dense layers, which scikit-learn can build too
CONVOLUTIONAL = "convolutional"  # the network of ``nnx run classifier``
# What --problems names; the dense classifier is added for frameworks that can do nothing else.
GROUPS = {"xor": XOR, "autoencoders": AUTOENCODERS, "classifier": (CONVOLUTIONAL,)}
USUAL = ("xor", "autoencoders")


@dataclass(frozen=True)
class Framework:
    """A framework.

    Attributes
    ----------
    title : str
    modules : tuple of str
        What must be installed; the first is imported to see how long that takes.
    packages : tuple of str
        The distributions whose size is measured.
    install : str
        The command that installs it.
    sides : dict of str to (str, str)
        Each way to use it, by name: its title and its worker's variant.
    problems : tuple of str
        What it can compute exactly as nnx does.
    notes : tuple of str
        What differs.
    precisions : tuple of str
        In which it can compute.
    """

    title: str
    modules: tuple[str, ...]
    packages: tuple[str, ...]
    install: str
    sides: dict[str, tuple[str, str]]
    problems: tuple[str, ...] = (*XOR, *AUTOENCODERS, CLASSIFIER)
    notes: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ("float32", "float64", "bfloat16")


FRAMEWORKS = {
    "keras": Framework(
        "Keras", ("keras", "tensorflow"), ("keras", "tensorflow", "tensorflow-cpu"), "pip install tensorflow",
        {"keras": ("Keras", "graph"), "keras_xla": ("Keras XLA", "xla")},
        problems=(*XOR, *AUTOENCODERS, CLASSIFIER, CONVOLUTIONAL),
        notes=(
            "Keras trains XOR by train_on_batch, the rest by fit on tf.data, its fastest ways; it computes "
            "Adam's 1 - beta^t in the network's float type, in float32 up to 6e-5 off",
        ),
    ),
    "torch": Framework(
        "PyTorch", ("torch",), ("torch",), "pip install torch", {"torch": ("PyTorch", "eager")},
        notes=(
            "PyTorch's Adam adds epsilon to the corrected root of v, nnx's to the root: at step t it is "
            "given epsilon / sqrt(1 - beta2^t), so that both compute the same; its Adam and SGD are fused",
        ),
    ),
    "jax": Framework(
        "JAX", ("jax",), ("jax", "jaxlib"), "pip install jax", {"jax": ("JAX", "step")},
        notes=("JAX has no layers or optimizers: their formulas are written out, a step is one function",),
    ),
    "sklearn": Framework(
        "scikit-learn", ("sklearn",), ("scikit-learn",), "pip install scikit-learn",
        {"sklearn": ("scikit-learn", "fit")},
        problems=(CLASSIFIER,), precisions=("float32", "float64"),
        notes=(
            "scikit-learn has one activation for all hidden layers and no sigmoid before a squared error or "
            "for targets between 0 and 1: of these networks it can build the classifier alone",
            "scikit-learn's MLP is given alpha=0 (its L2 penalty is 0.0001 by default), nnx's epsilon for "
            "Adam (1e-7, not its 1e-8), nnx's weights and order, and the same type; it computes on the CPU",
        ),
    ),
}  # fmt: skip
INSTALLED = "all"  # of --with: every framework that is installed
TITLES = {"nnx": "nnx"} | {name: title for f in FRAMEWORKS.values() for name, (title, _) in f.sides.items()}


@dataclass(frozen=True)
class Side:
    """One column of the tables: a framework, used in one way, in a separate process."""

    name: str
    framework: str
    variant: str
    problems: tuple[str, ...]


def sides_of(device: str, frameworks: Sequence[str]) -> dict[str, Side]:
    """Return nnx on a device and each way to use the frameworks, in the order of the tables."""
    every = FRAMEWORKS["keras"].problems
    found = {"nnx": Side("nnx", "nnx", device, every)}
    for framework in frameworks:
        about = FRAMEWORKS[framework]
        for name, (_, variant) in about.sides.items():
            found[name] = Side(name, framework, variant, about.problems)
    return found


def problems_of(sides: dict[str, Side], groups: Sequence[str] = USUAL) -> list[str]:
    """Return what is computed: all of some groups that another side can do.

    The dense classifier is added if a side can do nothing else.

    Raises
    ------
    ConfigurationError
        If there is no such group, or no side can do anything of them.
    """
    for group in groups:
        if group not in GROUPS:
            raise ConfigurationError(f"there are no problems {group!r}{nearest(group, GROUPS)}")
    peers = [side.problems for name, side in sides.items() if name != "nnx"]
    asked = [name for group in GROUPS if group in groups for name in GROUPS[group]]
    found = [name for name in asked if any(name in problems for problems in peers)]
    found += [CLASSIFIER] if (CLASSIFIER,) in peers else []
    if not found:
        raise ConfigurationError(
            f"no framework that was named can be compared on {', '.join(groups)}: add keras to --with"
        )
    return found


def absent(framework: str) -> str:
    """Return what a framework lacks and the command that installs it; empty if it lacks nothing."""
    about = FRAMEWORKS[framework]
    missing = [name for name in about.modules if find_spec(name) is None]
    return f"{about.title} is not installed: {about.install}" if missing else ""


def unable(framework: str, precision: str) -> str:
    """Return that a framework cannot compute with a precision; empty if it can."""
    about = FRAMEWORKS[framework]
    return "" if precision in about.precisions else f"{about.title} cannot compute with {precision}"


def chosen(names: Sequence[str], precision: str = "float32") -> tuple[tuple[str, ...], list[str]]:
    """Return the frameworks to compare with, and a line for each that ``"all"`` leaves out."""
    known = [*FRAMEWORKS, INSTALLED]
    for name in names:
        if name not in known:
            raise ConfigurationError(f"there is no comparison with {name!r}{nearest(name, known)}")
    missing = {name: text for name in FRAMEWORKS if (text := absent(name))}
    if refused := [missing[name] for name in names if name in missing]:
        raise MissingLibraryError("; ".join(refused))
    if refused := [text for name in names if name in FRAMEWORKS and (text := unable(name, precision))]:
        raise ConfigurationError(f"{'; '.join(refused)}: leave it out of --with")
    missing = missing | {name: text for name in FRAMEWORKS if (text := unable(name, precision))}
    every = INSTALLED in names
    found = tuple(name for name in FRAMEWORKS if name not in missing and (every or name in names))
    if not found:
        raise MissingLibraryError("; ".join(missing.values()) or "name a framework to compare with")
    return found, list(missing.values()) if every else []
