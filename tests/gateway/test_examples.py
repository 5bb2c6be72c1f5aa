"""The examples in the gateway's docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import tidegauge.gateway

MODULES = [
    module.name
    for module in pkgutil.walk_packages(tidegauge.gateway.__path__, "tidegauge.gateway.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
