# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     name: python3
#     display_name: Python 3
# ---

# %% [markdown]
# # Hypergradients
#
# A hypergradient is the derivative of what a training gives with respect to a setting of it. This notebook computes
# some, checks them, asks what they cost, and shows where they mean nothing.

# %%
from dataclasses import replace

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from hype_optim import (
    Checkpointed,
    CrossEntropyOnLinear,
    Dataset,
    L2Reg,
    Momentum,
    Params,
    Unrolled,
    check_hypergradient,
    forecast,
    minimize,
    train,
)

# %% [markdown]
# ## A training as a function of its settings
#
# The data are points of two classes, the model is linear. `validation_loss` trains it with given settings.

# %%
x = jax.random.normal(jax.random.key(0), (80, 5))
noise = jax.random.normal(jax.random.key(1), (80,))
data, valid = Dataset(x, (x[:, 0] - x[:, 1] + noise > 0).astype(int)).split([40, 40])
model = jax.tree_util.Partial(jnp.matmul, jnp.zeros((2, 5)))
settings = Params(
    30,
    learning_rate=0.15,
    momentum=Momentum(0.5),
    loss=CrossEntropyOnLinear(),
    regularization=L2Reg(1e-2),
    return_best=False,
    silent=True,
)


def validation_loss(params):
    return train(model, data, params, valid=valid).valid_loss


# %% [markdown]
# `jax.grad` gives the derivatives with respect to all settings at once.

# %%
gradient = jax.grad(validation_loss)(settings)
print(f"by the learning rate {gradient.learning_rate.rate:.4f}")
print(f"by the momentum      {gradient.momentum.decay:.4f}")
print(f"by the penalty       {gradient.regularization.coefficient:.4f}")

# %% [markdown]
# The derivative is the slope of a curve that one can draw. `jax.vmap` makes all trainings of the curve in one program.


# %%
def at(rate):
    return validation_loss(replace(settings, learning_rate=Params(learning_rate=rate).learning_rate))


rates = jnp.linspace(0.02, 1.0, 60)
losses = jax.vmap(at)(rates)
value, slope = jax.value_and_grad(at)(0.15)

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot(rates, losses, label="60 trainings")
axes.plot(rates, value + slope * (rates - 0.15), "--", label="the hypergradient at 0.15")
axes.set(xlabel="learning rate", ylabel="validation loss", ylim=(losses.min() - 0.01, losses.max() + 0.01))
axes.legend()
plt.show()

# %% [markdown]
# ## Is it right?
#
# `check_hypergradient` compares reverse mode, forward mode and differences of whole trainings, in double precision,
# for each setting.

# %%
check = check_hypergradient(validation_loss, settings)
check

# %% [markdown]
# ## What does it cost?
#
# `forecast` says how much memory and arithmetic a hypergradient takes with each adjoint. Nothing is run.

# %%
forecast(validation_loss, settings, [Unrolled(), Checkpointed(2), Checkpointed(3)])

# %% [markdown]
# ## Where it means nothing
#
# With steps that are too long a training is chaotic: a small change at its start is a large one at its end. The
# derivative is then exact, enormous, and of no use. `track_sensitivity=True` follows a small perturbation through the
# run.


# %%
def bumpy(w):
    return jnp.sum(w**2) + jnp.sum(jnp.cos(5 * w))


def run(rate):
    return minimize(bumpy, jnp.array([1.0, 2.0]), Params(100, learning_rate=rate, track_sensitivity=True, silent=True))


for rate in (0.02, 0.2):
    derivative = jax.grad(lambda rate: run(rate).loss)(rate)
    print(f"rate {rate}: a perturbation grows by {run(rate).sensitivity.growth:.2f} a step in logarithms,", end=" ")
    print(f"and the derivative is {derivative:.2g}")

# %% [markdown]
# Below zero perturbations fade, and the hypergradient can be trusted. Above zero they grow, and it cannot.

# %%
assert check.ok
assert run(0.02).sensitivity.growth < 0 < run(0.2).sensitivity.growth
