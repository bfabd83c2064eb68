# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     name: python3
#     display_name: Python 3
# ---

# %% [markdown]
# # Sampling
#
# `sample` draws from a density, given its logarithm. This notebook samples a hierarchical model, looks at the draws,
# and computes how a posterior mean depends on the prior.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from hype_mcmc import HMC, expectation, expected_squared_jump, sample
from hype_optim import Adam, Params, minimize, positive

# %% [markdown]
# ## Eight schools
#
# In each of eight schools the effect of coaching on test results was measured, with a standard error (Rubin 1981).
# Effects differ between schools by `tau`, which is to be found as well.


# %%
def logdensity(scale, x):
    tau = jnp.exp(x["log_tau"])
    effect = x["mu"] + tau * x["effect"]
    prior = -0.5 * (x["mu"] / scale) ** 2 - jnp.log1p((tau / 5) ** 2) + x["log_tau"] - 0.5 * jnp.sum(x["effect"] ** 2)
    return prior - 0.5 * jnp.sum(((measured - effect) / error) ** 2)


measured = jnp.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
error = jnp.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
x0 = {"mu": 0.0, "log_tau": 0.0, "effect": jnp.zeros(8)}


def posterior(scale):
    return jax.tree_util.Partial(logdensity, scale)


# %% [markdown]
# The position is a dictionary. Warm-up finds the step size, the mass and the length of trajectories. One bar shows all
# chains. The table has means, quantiles and diagnostics, and warnings in words if something is wrong; below it are the
# chains of the number that they agree least on.

# %%
run = sample(posterior(5.0), x0, key=jax.random.key(0))
run

# %% [markdown]
# Draws have a leading axis for chains and one for draws.

# %%
tau = jnp.exp(run.draws["log_tau"])
effects = run.draws["mu"][..., None] + tau[..., None] * run.draws["effect"]

figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
low, middle, high = jnp.quantile(effects, jnp.array([0.05, 0.5, 0.95]), axis=(0, 1))
axes.errorbar(range(8), middle, [middle - low, high - middle], fmt="o", label="posterior, 90%")
axes.plot(range(8), measured, "x", label="measured")
axes.set(xlabel="school", ylabel="effect")
axes.legend()
plt.show()

# %% [markdown]
# ## How an answer depends on the prior
#
# `expectation` is the mean over draws, with the derivative that the posterior mean has: no run is repeated. Here the
# prior of `mu` has scale 5.


# %%
def mean_effect(scale):
    return expectation(lambda x: x["mu"], run.draws, posterior(scale))


value, slope = jax.value_and_grad(mean_effect)(5.0)
print(f"The mean of mu is {value:.2f}, and grows by {slope:.2f} if the prior is wider by 1.")

# %% [markdown]
# ## Tuning a sampler by its gradient
#
# A kernel is a pytree, and how far it is expected to move is a smooth function of its step size. `minimize` can climb
# it.

# %%
target = lambda x: -0.5 * jnp.sum((x / jnp.array([1.0, 3.0])) ** 2)
positions = jax.random.normal(jax.random.key(1), (200, 2)) * jnp.array([1.0, 3.0])


def lost(step_size):
    return -expected_squared_jump(HMC(step_size.value, 5), target, positions, key=jax.random.key(2))


result = minimize(lost, positive(0.1), Params(60, learning_rate=Adam(0.05), silent=True))
print(f"step size {result.w.value:.2f}")
result

# %%
assert run.rhat()["mu"] < 1.05
assert slope > 0
assert result.loss < lost(positive(0.1))
