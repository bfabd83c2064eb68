"""What every test in this repository runs under; it imports no Hype package, so that each can be tested alone."""

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def key():
    """A key for tests that do not care which."""
    return jax.random.key(0)
