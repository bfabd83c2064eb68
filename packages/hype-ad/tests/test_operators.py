"""What holds for every operator: closed forms, on each kind of point, one evaluation, under each transformation."""

import inspect

import hype_ad as ad
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hype_ad import numerical
from hype_ad.testing import tree_allclose

from .operators import CASES, on_tensors, tensors

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def assert_expected(result, expected, rtol=1e-12):
    assert tree_allclose(result, jax.tree.map(np.asarray, expected), rtol=rtol, atol=1e-13)


@pytest.fixture(scope="module")
def computed():
    """What all cases give on arrays, with the number of evaluations, and on a batch of tensors."""
    calls, results = {case.name: 0 for case in CASES}, {}

    def counted(case):
        def f(x):
            calls[case.name] += 1
            return case.function(x)

        return f

    def batch(case):
        stacked = jax.tree.map(lambda leaf: jnp.stack([0.5 * leaf, leaf]), tensors(case.arguments))
        return jax.vmap(case.operator(on_tensors(case.function)))(*stacked)

    for function in dict.fromkeys(case.function for case in CASES):
        cases = [case for case in CASES if case.function is function]
        arguments = [case.arguments for case in cases]

        @jax.jit
        def every(arguments, cases=cases):
            pairs = zip(cases, arguments, strict=True)
            return [(case.operator(counted(case))(*x), batch(case)) for case, x in pairs]

        results |= {case.name: result for case, result in zip(cases, every(arguments), strict=True)}
    return results, calls


@every_case
def test_closed_form_on_arrays_from_one_evaluation(case, computed):
    results, calls = computed
    assert_expected(results[case.name][0], case.expected)
    assert calls[case.name] == (2 if "sparse" in case.name else 1)  # the sparsity is found from one of its own


@every_case
def test_closed_form_on_a_batch_of_tensors(case, computed):
    result = jax.tree.map(lambda leaf: np.asarray(leaf)[1], computed[0][case.name][1])
    assert_expected(result, tensors(case.expected))


@every_case
def test_single_precision_stays(case):
    single = lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.float32)
    result = jax.eval_shape(case.operator(case.function), *jax.tree.map(single, case.arguments))
    assert jax.tree.map(single, result) == jax.tree.map(single, case.expected)
    assert {leaf.dtype for leaf in jax.tree.leaves(result)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("kind", [np.asarray, lambda x: x.tolist()], ids=["NumPy", "numbers"])
@pytest.mark.parametrize("case", [case for case in CASES if case.name in ("diff", "diffn 3", "jvp", "hvp")])
def test_other_kinds_of_numbers(case, kind):
    # a list is a pytree of numbers as a point, and a vector as the direction of one
    x, *directions = case.arguments
    x = x if directions else kind(x)
    result = case.operator(case.function)(x, *map(kind, directions))
    assert_expected(jax.tree.map(np.asarray, result), case.expected)


OPERATORS = {case.name.partition(",")[0].split()[0] for case in CASES}


WITHOUT_DIFFERENCES = {name for name in OPERATORS if "sparse" in name or "gnvp" in name}


@pytest.mark.parametrize(
    ("module", "name"),
    [(ad, name) for name in sorted(OPERATORS)]
    + [(numerical, name) for name in sorted(OPERATORS - WITHOUT_DIFFERENCES)],
)
def test_documentation(module, name):
    operator = getattr(module, name)
    assert operator.__name__ == name
    *_, arguments, returns, errors = inspect.getdoc(operator).split("\n\n")
    assert [section.partition(":\n")[0] for section in (arguments, returns, errors)] == ["Args", "Returns", "Raises"]
    if module is ad:
        documented = {line.strip().partition(":")[0].lstrip("*") for line in arguments.splitlines()}
        assert set(inspect.signature(operator).parameters) <= documented


@pytest.mark.parametrize("name", sorted(name for name in OPERATORS if f"value_and_{name}" in OPERATORS))
def test_both_forms_take_the_same_arguments(name):
    assert inspect.signature(getattr(ad, name)) == inspect.signature(getattr(ad, f"value_and_{name}"))
