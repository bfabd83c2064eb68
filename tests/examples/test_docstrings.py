"""The examples in docstrings of public names give what they show, and what a newcomer calls first has one."""

import doctest
import inspect

import hype_ad
import hype_mcmc
import hype_neural
import hype_optim
import jax
import pytest

FIRST = {
    hype_ad: "D DV DM grad value_and_grad hessian hvp jacobian diff laplacian checkpointed_scan fixed_point solve",
    hype_optim: "minimize train tune Params positive Dataset forecast check_hypergradient StepSchedule Implicit",
    hype_neural: "Linear FeedForward RNN LSTM GRU InitNormal SoftmaxClassifier Language summary",
    hype_mcmc: "sample HMC from_numpyro expected_squared_jump log_of",
}


def documented(package):
    """The public names of a package, and the methods of its classes, with their docstrings."""
    for name in package.__all__:
        thing = getattr(package, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            yield f"{package.__name__}.{name}", thing.__doc__ or ""
            for method, function in vars(thing).items() if inspect.isclass(thing) else ():
                yield f"{package.__name__}.{name}.{method}", getattr(function, "__doc__", None) or ""


EXAMPLES = {name: text for package in FIRST for name, text in documented(package) if ">>>" in text}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_gives_what_it_shows(name):
    example = doctest.DocTestParser().get_doctest(EXAMPLES[name], {}, name, None, None)
    runner, failures = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE), []
    as_users_have_it = jax.enable_x64(False), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow")
    with as_users_have_it[0], as_users_have_it[1], as_users_have_it[2]:
        result = runner.run(example, out=failures.append)
    assert result.attempted > 0
    assert not result.failed, "".join(failures)


@pytest.mark.parametrize("package", FIRST, ids=lambda package: package.__name__)
def test_what_is_called_first_has_an_example(package):
    assert {f"{package.__name__}.{name}" for name in FIRST[package].split()} - EXAMPLES.keys() == set()
