"""Packages load a name's file when the name is first used."""

import importlib
import pickle
import subprocess
import sys
import types

import hype_ad
import hype_optim
import pytest

PACKAGES = ["hype_ad", "hype_optim", "hype_neural", "hype_mcmc"]

IMPORTED = """
import sys
import hype_ad, hype_optim, hype_neural, hype_mcmc
print(*sys.modules)
from hype_optim import Params, minimize, train
print(*sys.modules)
minimize(lambda x: x**2, 1.0, Params(2, silent=True))
print(*sys.modules)
"""

THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import hype_neural, hype_optim
sys.setswitchinterval(1e-6)
names = [(package, name) for package in (hype_neural, hype_optim) for name in package.__all__]
load = lambda first: {id(getattr(*each)) for each in names[first:] + names[:first]}
with ThreadPoolExecutor(4) as pool:
    found = list(pool.map(load, range(0, len(names), len(names) // 4)))
assert all(each == found[0] for each in found)
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()


def test_what_is_not_used_is_not_loaded():
    imported, named, minimized = map(str.split, run(IMPORTED))
    assert not {"equinox", "optax", "lineax", "tqdm", "hype_optim._config"} & set(imported)
    unused = {"lineax", "tqdm", "scipy.sparse", "jax.experimental.sparse", "matplotlib"}
    unused |= {"hype_optim._adjoint.implicit", "hype_optim._api.tune", "hype_optim._config.method.newton"}
    assert "hype_optim._run.loop" in named
    assert not unused & set(minimized)


def test_threads_may_load_names_at_the_same_time():
    assert run(THREADS) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_lists_all_of_its_names(package):
    module = importlib.import_module(package)
    starred = {}
    exec(f"from {package} import *", starred)
    assert len(module.__all__) == len(set(module.__all__))
    assert set(module.__all__) == set(starred) - {"__builtins__"}
    assert {*module.__all__, "__doc__", "__file__"} <= set(dir(module))
    assert all(starred[name] is getattr(module, name) for name in module.__all__)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match=r"module 'hype_optim' has no attribute 'maximize'"):
        getattr(hype_optim, "maximize")  # noqa: B009
    with pytest.raises(ImportError, match="cannot import name 'maximize'"):
        exec("from hype_optim import maximize")


def test_a_module_among_the_names():
    assert isinstance(hype_ad.numerical, types.ModuleType)


def test_names_are_pickled_by_their_own_modules():
    assert pickle.loads(pickle.dumps(hype_optim.Params)) is hype_optim.Params
