"""Promises of the error tree."""

import pickle

import pytest

from schemas import errors

ALL = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_survives_pickling_and_shows_its_message_bare(kind: type[errors.FaultlineError]) -> None:
    again = pickle.loads(pickle.dumps(kind("t[1]: it's so")))
    assert type(again) is kind
    assert str(again) == "t[1]: it's so"


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_is_in_the_tree_and_drawn_in_the_module_docstring(kind: type[errors.FaultlineError]) -> None:
    assert issubclass(kind, errors.FaultlineError)
    assert kind.__name__ in (errors.__doc__ or "")


def test_errors_are_also_the_stdlib_errors_they_replace() -> None:
    assert issubclass(errors.UnknownTableError, KeyError)
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.MetricError, ValueError)
