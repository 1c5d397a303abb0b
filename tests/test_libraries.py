"""A library that is not installed gives one error of one line, with the command that installs it."""

from __future__ import annotations

import pytest

from nnx.errors import MissingLibraryError
from nnx.libraries import needed, require


def test_a_library_that_cannot_be_imported_is_named_with_its_extra() -> None:
    with pytest.raises(MissingLibraryError) as caught, needed("reports", "a report"):
        import no_such_library.part  # noqa: F401
    assert str(caught.value) == (
        "a report needs no_such_library, not installed here: pip install 'nnx-arrays[reports]'"
    )
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_library_is_named_as_its_package() -> None:
    with pytest.raises(MissingLibraryError, match=r"^an SVM needs scikit-learn, "), needed("svm", "an SVM"):
        raise ModuleNotFoundError("No module named 'sklearn.svm'", name="sklearn.svm")


@pytest.mark.parametrize("error", [ModuleNotFoundError("lost", name="nnx.lost"), ModuleNotFoundError("lost")])
def test_a_module_of_nnx_that_is_missing_is_no_missing_library(error: ModuleNotFoundError) -> None:
    with pytest.raises(ModuleNotFoundError) as caught, needed("reports", "a report"):
        raise error
    assert caught.value is error


def test_all_libraries_that_are_missing_are_named_at_once() -> None:
    require(["json", "numpy"], "reports", "a report")
    with pytest.raises(MissingLibraryError, match=r"^a report needs no_such_a, no_such_b, not"):
        require(["json", "no_such_a", "no_such_b"], "reports", "a report")
