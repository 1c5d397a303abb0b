"""Libraries that only some parts of nnx need: one error, with the command that installs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from nnx.errors import MissingLibraryError

PACKAGES = {"sklearn": "scikit-learn", "PIL": "pillow"}  # libraries whose package has another name
EXPERIMENTS = ("sklearn", "scipy", "joblib", "matplotlib", "jinja2", "PIL", "pooch", "requests")


@contextmanager
def needed(extra: str, what: str) -> Iterator[None]:
    """Import libraries of an extra within this block.

    Parameters
    ----------
    extra : str
        The extra of ``nnx-arrays`` that installs them.
    what : str
        What needs them, as the first words of the error.

    Raises
    ------
    MissingLibraryError
        If one is not installed; the text has the command that installs it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if not library or library == "nnx":
            raise
        raise _missing([library], extra, what) from error


def require(libraries: Sequence[str], extra: str, what: str) -> None:
    """See that all libraries of an extra are installed, without importing them.

    Raises
    ------
    MissingLibraryError
        If some are not; the text names them and has the command that installs them.
    """
    missing = [library for library in libraries if find_spec(library) is None]
    if missing:
        raise _missing(missing, extra, what)


def _missing(libraries: Sequence[str], extra: str, what: str) -> MissingLibraryError:
    packages = ", ".join(PACKAGES.get(library, library) for library in libraries)
    return MissingLibraryError(
        f"{what} needs {packages}, not installed here: pip install 'nnx-arrays[{extra}]'"
    )
