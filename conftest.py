"""What every test in this repository runs under; it imports no Hype package, so that each can be tested alone."""

import gc

import jax
import pytest
from beartype import beartype

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def key():
    """A key for tests that do not care which."""
    return jax.random.key(0)


def pytest_collection_finish():
    """What has been imported is no garbage, and JAX makes collecting slow: look at less of it, and less often."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


_checkers = {}


def checked(function):
    """Beartype for jaxtyping's import hook, at the first call and once for each signature.

    The hook decorates all functions, those that are never called too, and local ones each time that their definition is
    run, which together took about a tenth of the time of all tests.
    """
    checker = None

    def call(*args, **kwargs):
        nonlocal checker
        if checker is None:
            signature = function.__module__, function.__qualname__, function.__code__, repr(function.__annotations__)
            if signature not in _checkers:
                _checkers[signature] = beartype(function)
            checker = _checkers[signature]
        return checker(*args, **kwargs)

    return call
