"""The examples in the docstrings of the zoo run and print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import zoo

MODULES = sorted(info.name for info in pkgutil.walk_packages(zoo.__path__, "zoo."))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert not found.failed


def test_every_public_name_has_a_docstring() -> None:
    for name in zoo.__all__:
        assert getattr(zoo, name).__doc__, name


@pytest.mark.parametrize("name", ["zoo.cells", "zoo.networks", "zoo.registry", "zoo.variants"])
def test_there_are_examples(name: str) -> None:
    # So that the test above does not pass for want of examples.
    tests = doctest.DocTestFinder().find(importlib.import_module(name))
    assert any(test.examples for test in tests)
