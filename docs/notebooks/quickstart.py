# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     name: python3
#     display_name: Python 3
# ---

# %% [markdown]
# # Quickstart
#
# Minimize a function, differentiate the minimization, train a network, and tune the learning rates that it is trained
# with. The whole notebook takes about a minute on two cores.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from hype_neural import FeedForward, Linear
from hype_optim import (
    CrossEntropyOnLinear,
    Dataset,
    Minibatch,
    Momentum,
    Params,
    StepSchedule,
    minimize,
    positive,
    train,
    tune,
)
from sklearn.datasets import load_digits

# %% [markdown]
# ## Minimize
#
# `minimize` takes a function, a point to start from, and settings. A bar shows the progress of a run, unless
# `silent=True`. The last line of a cell shows the result: its numbers, and the loss of each step.


# %%
def valley(w):
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


start = jnp.array([-1.0, 1.0])
minimize(valley, start, Params(500, learning_rate=1e-3, momentum=Momentum(0.9)))

# %% [markdown]
# ## Differentiate the minimization
#
# The loss at the end is a function of the settings. Its gradient is a `Params` too: it holds the derivative with
# respect to each number.


# %%
def end(params):
    return minimize(valley, start, params).loss


settings = Params(500, learning_rate=1e-3, momentum=Momentum(0.9), silent=True)
gradient = jax.grad(end)(settings)
print(f"by the learning rate: {gradient.learning_rate.rate:.4g}, by the momentum: {gradient.momentum.decay:.4g}")

# %% [markdown]
# Both are negative: larger steps and more momentum would have come further.
#
# ## Train a network
#
# The data are 8 by 8 pictures of digits. A model maps one example. The schedule has one learning rate for each of 60
# steps.

# %%
x, y = load_digits(return_X_y=True)
data, valid = Dataset(x / 16, y).split([1200, 597], key=jax.random.key(0))


def training(schedule, key):
    first, last, order = jax.random.split(key, 3)
    model = FeedForward([Linear(64, 30, key=first), jnp.tanh, Linear(30, 10, key=last)])
    params = Params(
        learning_rate=schedule,
        momentum=Momentum(0.9),
        loss=CrossEntropyOnLinear(),
        batch=Minibatch(100),
        return_best=False,
        silent=True,
    )
    return train(model, data, params, valid=valid, key=order)


training(StepSchedule(jnp.full(60, 0.1)), jax.random.key(1))

# %% [markdown]
# ## Tune the learning rates
#
# `positive` marks what is to be tuned. `tune` follows the derivatives of the validation loss with respect to all 60
# rates, at a new random seed in each step. What it finds is judged at seeds that it has not used.

# %%
tuned = tune(training, StepSchedule(positive(jnp.full(60, 0.1))), steps=30, key=jax.random.key(2))
tuned

# %%
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot(tuned.values.rates)
axes.set(xlabel="step", ylabel="learning rate", title="the learned schedule")
plt.show()

# %%
assert tuned.improved
