"""Values of options are checked, and errors say what is allowed."""

from __future__ import annotations

import pytest

from nnx.errors import ConfigurationError
from nnx.experiments import autoencoder, xor
from nnx.experiments.options import Rule, option_name


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("room", [xor, autoencoder])
def test_an_unknown_preset_names_the_nearest(room):
    with pytest.raises(ConfigurationError, match="'deeep': did you mean 'deep'"):
        room.run(room.Config("deeep"))


@pytest.mark.parametrize(
    ("rule", "text", "value"),
    [
        (Rule("whole", "", low=1), "3", 3),
        (Rule("number", "", above=True), "1e-3", 1e-3),
        (Rule("size", ""), "28X32", (28, 32)),
        (Rule("names", ""), " a, b", ("a", "b")),
        (Rule("columns", ""), "a, b", ("a, b",)),  # divided when the columns are known
        (Rule("name", "", ("adam", "sgd")), "sgd", "sgd"),
    ],
)
def test_a_text_of_the_command_line_is_the_value_that_a_file_would_have(rule, text, value):
    found = rule.checked(rule.parsed(text), "--option")
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("rule", "given", "words"),
    [
        (Rule("whole", "", low=1), "many", "must be a whole number of at least 1, not 'many'"),
        (Rule("whole", "", low=1), 0, "must be a whole number of at least 1, not 0"),
        (Rule("whole", ""), True, "must be a whole number of at least 0, not True"),
        (Rule("number", "", above=True, high=1.0), "1", "must be a number above 0 and below 1, not 1"),
        (Rule("number", ""), "nan", "must be a number of at least 0, not nan"),
        (Rule("size", ""), "28", "must be a height and a width, as 28x28, not '28'"),
        (Rule("size", ""), "0x5", "must be a height and a width"),
        (Rule("names", ""), "a,,b", "must be a list of texts"),
        (Rule("name", "", ("adam", "sgd")), "adm", "'adm' is unknown: did you mean 'adam'"),
        (Rule("name", "", ("adam", "sgd")), 3, "must be one of adam, sgd, not 3"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_with_those_that_are(rule, given, words):
    with pytest.raises(ConfigurationError) as caught:
        rule.checked(rule.parsed(given), "--option")
    assert str(caught.value).startswith("--option: ")
    assert words in str(caught.value)


def test_the_option_of_an_entry_has_dashes_or_the_name_of_its_rule():
    assert option_name("batch_size", None) == "--batch-size"
    assert option_name("frameworks", Rule("names", "", option="with")) == "--with"
