r"""How centered the sites of a hierarchy are, by NumPyro's reparameterization and its variational inference.

A site $\theta \sim N(\mu, \tau)$ is moved along by $\tilde\theta \sim N(c \mu, \tau^c)$, with
$\theta = \mu + \tau^{1 - c} (\tilde\theta - c \mu)$: centered for $c = 1$, good where data are strong, and not
centered for $c = 0$, good where they are weak, as else there is a funnel (Papaspiliopoulos, Roberts and Sköld 2007).
Which $c$ is best is learned as Gorinova, Moore and Hoffman (2020) do: by the derivative of the evidence lower bound of
an independent Gaussian, which is high where the coordinates are independent.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from jaxtyping import Array, Float

_STEPS = 3000
_RATES = 1.0, 1e-3  # of Adam, the first and the last one: centeredness is far where its logit is


def in_hierarchies(model: Callable[..., Any], sites: Mapping[str, Any], args: Any, kwargs: Any) -> list[str]:
    """The latent sites with a location and a scale, on all reals, whose density depends on other latent sites."""
    from numpyro.distributions import constraints
    from numpyro.infer.inspect import get_dependencies

    dependencies: Any = get_dependencies(model, args, kwargs)
    depends = dependencies["prior_dependencies"]
    latent = {name for name, site in sites.items() if site["type"] == "sample" and not site["is_observed"]}

    def is_one(name: str) -> bool:
        base, support = base_of(sites[name]["fn"]), sites[name]["fn"].support
        while isinstance(support, constraints.independent):
            support = support.base_constraint
        others = (set(depends[name]) & latent) - {name}
        return bool(others) and support is constraints.real and set(base.arg_constraints) == {"loc", "scale"}

    return [name for name in sites if name in latent and is_one(name)]


def base_of(distribution: Any) -> Any:
    """A distribution without what expands it, or makes axes of it dependent."""
    from numpyro.distributions import ExpandedDistribution, Independent

    while isinstance(distribution, ExpandedDistribution | Independent):
        distribution = distribution.base_dist
    return distribution


def recentered(model: Callable[..., Any], centeredness: Mapping[str, Any]) -> Callable[..., Any]:
    """The model with coordinates of these centerednesses, named as NumPyro does; None for one that is a parameter."""
    from numpyro import handlers
    from numpyro.infer.reparam import LocScaleReparam

    if not centeredness:
        return model
    return handlers.reparam(model, config={name: LocScaleReparam(c) for name, c in centeredness.items()})


def coordinate(name: str) -> str:
    """What NumPyro calls the coordinate of a site."""
    return f"{name}_decentered"


def coordinate_of(site: Mapping[str, Any], c: Float[Array, "..."]) -> Array:
    """The coordinate of the value of a site, given the values of those that it depends on."""
    base = base_of(site["fn"])
    return c * base.loc + (site["value"] - base.loc) * base.scale ** (c - 1)


def learned(model: Callable[..., Any], names: list[str], args: Any, kwargs: Any) -> dict[str, Array]:
    """The centeredness of each of these sites that makes the evidence lower bound the largest."""
    from numpyro.infer import SVI, Trace_ELBO
    from numpyro.infer.autoguide import AutoNormal
    from numpyro.optim import Adam

    free, (first, last) = recentered(model, dict.fromkeys(names)), _RATES
    rate = lambda step: first * (last / first) ** (step / _STEPS)
    search = SVI(free, AutoNormal(free), Adam(rate), Trace_ELBO(num_particles=4))
    found = search.run(jax.random.key(0), _STEPS, *args, progress_bar=False, **kwargs).params
    return {name: found[f"{name}_centered"] for name in names}
