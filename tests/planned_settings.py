"""A small experiment with settings changed, planned or refused."""

import pytest

from unpromptable.planning import plan, reading

BASE = {
    "name": "t",
    "forget": ["0012-3"],
    "cells": [{"name": "Ours", "method": "surrogate"}, {"name": "NegGrad", "method": "neggrad"}],
}


def resolve(overrides=None, world="", inputs=False, **change):
    return plan.resolve(reading.write({**BASE, **change}), world, overrides or {}, inputs)


def refused(overrides=None, world="", **change):
    """The one line that refuses."""
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        resolve(overrides, world, **change)
    assert type(caught.value) in (ValueError, FileNotFoundError) and "\n" not in str(caught.value)
    return str(caught.value)
