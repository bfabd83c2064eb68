"""What the type hook of the tests makes of annotations: those of local functions are checked each time as well."""

import numpy as np
import pytest
from jaxtyping import Float, jaxtyped

from conftest import checked


def added(x, y, result):
    @jaxtyped(typechecker=checked)
    def local(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return result

    return local(x, y)


def test_shapes_are_checked_each_time_that_a_local_function_is_made():
    two, three = np.ones(2), np.ones(3)
    for _ in range(2):
        assert added(two, two, result=two) is two
        assert added(three, three, result=three) is three
        with pytest.raises(TypeError, match="checking the parameters"):
            added(two, three, result=two)
        with pytest.raises(TypeError, match="parameter 'y'"):
            added(two, "two", result=two)
        with pytest.raises(TypeError, match="checking the return value"):
            added(two, two, result=three)
