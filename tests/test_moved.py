"""Old module names work for one version, and say where to go."""

import importlib
import subprocess
import sys

import pytest

from assay.moved import MOVED


@pytest.mark.parametrize("old", sorted(MOVED))
def test_an_old_name_is_the_new_module(old):
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {MOVED[old]}"):
        found = importlib.import_module(old)
    assert found is importlib.import_module(MOVED[old])


@pytest.mark.parametrize("old", sorted(MOVED))
def test_the_new_module_stays_what_it_is(old):
    """Its spec says where it lies and what a package has in it: `importlib.resources` and `reload` read it."""
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is now"):
        module = importlib.import_module(old)
    assert module.__spec__.name == module.__name__ == MOVED[old]
    assert (module.__spec__.submodule_search_locations is not None) == hasattr(module, "__path__")


def test_names_come_along():
    code = (
        "from assay.methods.refusal import judge; from assay.train.corpus import late_behaviours as moved; "
        "print(judge.__module__, moved.__module__)"
    )
    found = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "assay.methods.refusal.judging assay.testbed.corpus", found.stderr


def test_a_name_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("assay.methods.backpatching")


@pytest.mark.parametrize("old", sorted(MOVED))
def test_an_old_module_takes_the_place_of_nothing(old):
    """An import binds a module to its package: under the name of a fixture or a method it would replace it."""
    package, _, name = old.rpartition(".")
    assert name not in getattr(importlib.import_module(package), "__all__", ())
