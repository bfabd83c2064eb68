# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     name: python3
#     display_name: Python 3
# ---

# %% [markdown]
# # Tuning
#
# `tune` moves settings along the gradients of whole trainings. Here a linear model with a penalty for each of its
# inputs learns which inputs matter.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from hype_optim import (
    Dataset,
    L2Reg,
    Momentum,
    Params,
    Quadratic,
    Sweep,
    positive,
    train,
    tune,
    unit_interval,
)

# %% [markdown]
# ## What is tuned
#
# Of eight inputs only the first three say something about the target. There are few examples, so a penalty helps;
# which one is not known.

# %%
inputs = 8
x = jax.random.normal(jax.random.key(0), (200, inputs))
y = x[:, :1] - x[:, 1:2] + 0.5 * x[:, 2:3] + 0.5 * jax.random.normal(jax.random.key(1), (200, 1))
data, valid = Dataset(x, y).split([25, 175])


def training(settings, key):
    weights = 0.1 * jax.random.normal(key, (inputs, 1))
    model = jax.tree_util.Partial(lambda w, x: x @ w, weights)
    params = Params(
        60,
        learning_rate=settings["rate"],
        momentum=Momentum(settings["momentum"]),
        loss=Quadratic(),
        regularization=L2Reg(jax.tree_util.Partial(model.func, settings["penalties"][:, None])),
        return_best=False,
        silent=True,
    )
    return train(model, data, params, valid=valid)


# %% [markdown]
# A setting that may move is a range: `positive` for rates and penalties, `unit_interval` for a momentum. All else
# stays as it is.

# %%
start = {"rate": positive(0.03), "momentum": unit_interval(0.5), "penalties": positive(jnp.full(inputs, 0.1))}
tuned = tune(training, start, steps=60, key=jax.random.key(2))
tuned

# %% [markdown]
# The values are at random seeds that the tuning has not seen. The table has the most sensitive settings first.
#
# ## What came of it
#
# Inputs that say something have small penalties, those that are noise have large ones.

# %%
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.bar(range(inputs), tuned.values["penalties"])
axes.set(xlabel="input", ylabel="penalty", yscale="log", title="the first three matter")
plt.show()

# %% [markdown]
# `tuned.plot()` draws the way: the value of each step at its own seed, and how sensitive the value is to each setting.

# %%
tuned.plot()
plt.show()

# %% [markdown]
# ## Where the start is a guess
#
# Gradients only see what is near. A `Sweep` tries points about the start first, and the search begins at the best of
# them.

# %%
far = {"rate": positive(1e-4), "momentum": unit_interval(0.5), "penalties": positive(jnp.full(inputs, 0.1))}
swept = tune(training, far, steps=60, sweep=Sweep(16, width=6.0), key=jax.random.key(3), silent=True)
swept

# %% [markdown]
# ## Going on
#
# `tune(..., state=tuned.state)` makes more steps from where a tuning stopped, and `path="tuning.npz"` writes a file
# from which a run that was killed goes on.

# %%
assert tuned.improved
assert swept.improved
penalties = tuned.values["penalties"]
assert penalties[:3].mean() < penalties[3:].mean()
