"""NumPyro's models: their densities, constraints, likelihoods and predictions are NumPyro's own."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from hype_ad.internal.captured import Watched, captured
from hype_ad.internal.checks import as_array, check_entries, float_array, function
from jaxtyping import Array, ArrayLike, Float, PyTree

from ._centeredness import coordinate, coordinate_of, in_hierarchies, learned, recentered
from ._custom_types import Position
from ._model import AbstractModel, Predictive


def from_numpyro(model: Callable[..., Any], *args: Any, **kwargs: Any) -> "NumPyroModel":
    """A NumPyro model with its data: `sample(from_numpyro(model, x, y=y), key=key)`.

    The chains move in NumPyro's unconstrained coordinates. Draws are a dictionary with the values of all latent and
    deterministic sites. Arrays and floats among the arguments are arguments of the compiled program, so that new data
    of the same shapes does not compile again; integers, strings and None are part of it. What a model computes from
    its data to make shapes of, such as a number of groups, has to be an argument of its own.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import numpyro
        >>> from numpyro import distributions as dist
        >>> from hype_mcmc import from_numpyro, sample
        >>> def model(y):
        ...     scale = numpyro.sample("scale", dist.HalfNormal(2.0))
        ...     numpyro.sample("y", dist.Normal(0.0, scale), obs=y)
        >>> run = sample(from_numpyro(model, jnp.array([1.0, -2.0, 0.5])), key=jax.random.key(0), silent=True)
        >>> run.summary().names, run.draws["scale"].shape
        (('scale',), (4, 1000))

    Args:
        model: a function of NumPyro's primitives, or one within its handlers, such as `handlers.condition`.
        args: what it is called with.
        kwargs: what it is called with by name.

    Raises:
        ImportError: if NumPyro is not installed.
        TypeError: if `model` is not a function, or an argument is neither an array nor something that has a hash.
        ValueError: if a latent site is discrete, if there is no latent site, if a plate subsamples, if the model has
            parameters for variational inference or draws random numbers beside its sites, or if it needs a value of its
            data to be compiled.
    """
    try:
        import numpyro  # noqa: F401
    except ImportError as error:
        raise ImportError("`from_numpyro` needs NumPyro: `pip install 'hype-mcmc[numpyro]'`.") from error
    function("model", model, "a NumPyro model, a function")
    arrays, rest = eqx.partition(jax.tree.map(_as_argument, (args, kwargs)), eqx.is_array)
    leaves, structure = jax.tree.flatten(rest)
    for leaf in leaves:
        if type(leaf).__hash__ is None:
            raise TypeError(
                f"`args` and `kwargs` must hold arrays, and what Python can hash, got a {type(leaf).__name__}. Of a "
                "table take the columns, as NumPy arrays."
            )
    return NumPyroModel(model, arrays, (tuple(leaves), structure), _inspect(model, arrays, rest))


class _Sites(NamedTuple):
    """What is known of a model before it is run."""

    latent: tuple[tuple[str, tuple[int, ...], Any], ...]  # names, unconstrained shapes and dtypes
    dims: tuple[tuple[str, tuple[str, ...]], ...]  # names of the axes of sites that are in plates
    proper: bool  # whether the prior can be drawn from


class NumPyroModel(AbstractModel):
    """A NumPyro model with its arguments, as `from_numpyro` makes it: a log density of unconstrained coordinates."""

    model: Callable[..., Any] = eqx.field(static=True)
    arrays: PyTree[Array]  # among the arguments
    rest: tuple[tuple[Any, ...], Any] = eqx.field(static=True)  # the others, as leaves and structure
    sites: _Sites = eqx.field(static=True)
    centeredness: dict[str, Float[Array, "..."]] = eqx.field(default_factory=dict)  # of sites that are not centered

    def decentered(self, centeredness: ArrayLike | Mapping[str, ArrayLike] | None = None) -> "NumPyroModel":
        r"""The model in other coordinates of its hierarchies, which have no funnels: draws and all else stay the same.

        A latent site $N(\mu, \tau)$, or of another location and scale that depend on other sites, is moved along by
        $\tilde\theta \sim N(c \mu, \tau^c)$ with $\theta = \mu + \tau^{1 - c} (\tilde\theta - c \mu)$: NumPyro's
        `LocScaleReparam`. Strong data want a centeredness $c$ of 1 and weak ones of 0; what fits is learned for each
        site, by the derivative of an evidence lower bound (Gorinova, Moore and Hoffman 2020). Differentiable in $c$.

        Args:
            centeredness: $c$, of all sites that it can be of, or of each one by its name, from 0 to 1: a number, or an
                array of the shape of an event of the site, such as what was learned for other data. The members of a
                plate share it: groups with many data and groups with few can be two sites. Learned if not given, by
                3,000 steps of `numpyro.infer.SVI`, which compile for each call.

        Raises:
            ValueError: if there is no such site, a name is not of one, or a number is out of its range.
        """
        from numpyro.infer import init_to_uniform

        args, kwargs = self.arguments()
        sites = _trace(self.model, jax.random.key(0), {}, args, kwargs, init_to_uniform)
        names = in_hierarchies(self.model, sites, args, kwargs)
        chosen = list(centeredness) if isinstance(centeredness, Mapping) else names
        if not names or not set(chosen) <= set(names):
            which = f"of {names}, got {chosen}" if names else "and this one has none"
            raise ValueError(
                "`decentered` is for latent sites with a location and a scale that depend on other latent sites, "
                f"{which}."
            )
        if centeredness is None:
            return replace(self, centeredness=learned(self.model, names, args, kwargs))
        given = centeredness if isinstance(centeredness, Mapping) else dict.fromkeys(names, centeredness)
        return replace(
            self, centeredness={name: _centeredness(c, sites[name]["fn"].event_shape) for name, c in given.items()}
        )

    def __call__(self, position: Position) -> Float[Array, ""]:
        """NumPyro's log density, Jacobians included."""
        from numpyro.infer.util import potential_energy

        names = [self._coordinate(name) for name, _, _ in self.sites.latent]
        if set(position) != set(names):
            raise ValueError(
                f"A position must have the unconstrained coordinates of the latent sites, {names}, got "
                f"{sorted(position)}. Those of draws are `run.unconstrained`."
            )
        args, kwargs = self.arguments()
        return -jnp.asarray(potential_energy(self._recentered(), args, kwargs, position))

    def initial(self) -> Position:
        """Zeros, as the middle of NumPyro's own initial points is."""
        return {self._coordinate(name): jnp.zeros(shape, dtype) for name, shape, dtype in self.sites.latent}

    def constrain(self, position: Position) -> dict[str, Array]:
        """The values of latent and deterministic sites."""
        from numpyro.infer.util import constrain_fn

        args, kwargs = self.arguments()
        values = constrain_fn(self._recentered(), args, kwargs, position, return_deterministic=True)
        hidden = {coordinate(name) for name in self.centeredness}
        return {name: jnp.asarray(value) for name, value in values.items() if name not in hidden}

    def unconstrain(self, x0: PyTree[Any]) -> Position:
        """The unconstrained coordinates of values of all latent sites; those of others are not looked at."""
        from numpyro.infer.util import unconstrain_fn

        names = [name for name, _, _ in self.sites.latent]
        if not isinstance(x0, dict) or not set(names) <= set(x0):
            got = sorted(x0) if isinstance(x0, dict) else type(x0).__name__
            raise ValueError(f"`x0` must be a dictionary with a value of each latent site, {names}, got {got}.")
        args, kwargs = self.arguments()
        latent = {name: float_array(f"x0[{name!r}]", x0[name]) for name in names}
        like = jax.eval_shape(self.constrain, self.initial())
        wrong = [f"{name!r} {latent[name].shape}" for name in names if latent[name].shape != like[name].shape]
        if wrong:
            shapes = {name: like[name].shape for name in names}
            raise ValueError(f"`x0` must have values of the shapes {shapes}, got {', '.join(wrong)}.")
        position = unconstrain_fn(self.model, args, kwargs, latent)
        if not self.centeredness:
            return position
        sites = _trace(self.model, None, latent, args, kwargs)
        moved = {name: coordinate_of(sites[name], c) for name, c in self.centeredness.items()}
        return {self._coordinate(name): moved.get(name, value) for name, value in position.items()}

    def source(self) -> Callable[..., Any]:
        """The model without NumPyro's handlers around it."""
        from numpyro.primitives import Messenger

        model = self.model
        while isinstance(model, Messenger) and model.fn is not None:
            model = model.fn
        return model

    def predictive(self) -> Predictive:
        """Log likelihoods, predictions and data of the observed sites, and draws of the prior if it is proper."""
        reads = captured(self.source())
        values, others = _observed(Watched(self, reads))
        # An `obs` that is made of latent sites is a part of their prior.
        data = {name: x for name, x in values.items() if np.array_equal(x, others[name], equal_nan=True)}
        of_data = lambda method: Watched(jax.tree_util.Partial(method, self, tuple(data)), reads) if data else None
        return Predictive(
            log_likelihood=of_data(NumPyroModel._log_likelihood),
            posterior_predictive=of_data(NumPyroModel._predict),
            prior=Watched(self._prior, reads) if self.sites.proper else None,
            observed_data=data or None,
            dims={name: list(dims) for name, dims in self.sites.dims},
        )

    def _log_likelihood(self, names: tuple[str, ...], draw: dict[str, Array]) -> dict[str, Array]:
        sites = self._at(draw)
        return {name: sites[name]["fn"].log_prob(sites[name]["value"]) for name in names}

    def _predict(self, names: tuple[str, ...], key: Any, draw: dict[str, Array]) -> dict[str, Array]:
        """Each observed site drawn anew, given the draw and the data of the others."""
        sites = self._at(draw)
        keys = jax.random.split(key, max(1, len(names)))
        return {name: _drawn_anew(key, sites[name]) for key, name in zip(keys, names, strict=False)}

    def _at(self, draw: dict[str, Array]) -> dict[str, Any]:
        """What happens at each site, given the latent ones."""
        args, kwargs = self.arguments()
        return _trace(self.model, None, {name: draw[name] for name, _, _ in self.sites.latent}, args, kwargs)

    def _prior(self, key: Any) -> dict[str, Array]:
        args, kwargs = self.arguments()
        names = {name for name, _, _ in self.sites.latent}
        sites = _trace(self.model, key, {}, args, kwargs)
        wanted = lambda name, site: name in names or site["type"] == "deterministic"
        return {name: jnp.asarray(site["value"]) for name, site in sites.items() if wanted(name, site)}

    def _recentered(self) -> Callable[..., Any]:
        """The model whose coordinates the chains move in."""
        return recentered(self.model, self.centeredness)

    def _coordinate(self, name: str) -> str:
        return coordinate(name) if name in self.centeredness else name

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the model is called with."""
        leaves, structure = self.rest
        return eqx.combine(self.arrays, jax.tree.unflatten(structure, leaves))


def _centeredness(c: ArrayLike, event: tuple[int, ...]) -> Float[Array, "..."]:
    """One number, or one for each number of an event, as NumPyro learns it."""
    array = float_array("centeredness", c)
    if array.shape not in ((), event):
        or_event = f", or an array of shape {event}" if event else ""
        raise ValueError(f"`centeredness` must be one number{or_event}, got an array of shape {array.shape}.")
    check_entries("centeredness", c, lambda c: (c >= 0) & (c <= 1), "from 0 to 1")
    return array


@eqx.filter_jit
def _observed(watched: Watched) -> tuple[dict[str, Array], dict[str, Array]]:
    """The values of observed sites, twice, with other values of the latent ones."""
    from numpyro.infer import init_to_uniform

    model: Any = watched.function
    args, kwargs = model.arguments()

    def values(seed: int) -> dict[str, Array]:
        sites = _trace(model.model, jax.random.key(seed), {}, args, kwargs, init_to_uniform)
        return {name: jnp.asarray(site["value"]) for name, site in sites.items() if _is_data(site)}

    return values(0), values(1)


def _drawn_anew(key: Any, site: dict[str, Any]) -> Array:
    """A draw of a site like its value, which may have axes that its distribution has not, if it is in no plate."""
    fn, value = site["fn"], jnp.shape(site["value"])
    batch = value[: len(value) - len(fn.event_shape)]
    return fn.expand(jnp.broadcast_shapes(site["kwargs"].get("sample_shape", ()) + fn.batch_shape, batch)).sample(key)


def _as_argument(leaf: Any) -> Any:
    """A number of Python or NumPy as what it is to the compiled program: an integer as a part of it."""
    if isinstance(leaf, np.integer | np.bool_):
        return leaf.item()
    return as_array(leaf) if isinstance(leaf, float | np.ndarray | np.generic) else leaf


def _trace(
    model: Any, key: Any, values: dict[str, Array], args: Any, kwargs: Any, initialize: Any = None
) -> dict[str, Any]:
    """What happens at each site of a model with these values of its sites, and others drawn if there is a key."""
    from numpyro import handlers

    model = model if key is None else handlers.seed(model, key)
    model = handlers.substitute(model, data=values)
    model = model if initialize is None else handlers.substitute(model, substitute_fn=initialize)
    return handlers.trace(model).get_trace(*args, **kwargs)


def _is_data(site: dict[str, Any]) -> bool:
    """Whether a site is one of data, and not a `factor`."""
    return site["type"] == "sample" and site["is_observed"] and not site["infer"].get("is_auxiliary", False)


def _inspect(model: Callable[..., Any], arrays: PyTree[Array], rest: PyTree[Any]) -> _Sites:
    """The sites of a model, from its shapes alone; a ValueError if it cannot be sampled by its gradients."""
    from numpyro.distributions import biject_to
    from numpyro.infer import init_to_uniform
    from numpyro.primitives import Messenger

    dims: dict[str, tuple[str, ...]] = {}
    order: list[str] = []

    class Deterministic(Messenger):
        def process_message(self, msg: dict[str, Any]) -> None:
            if msg["type"] == "prng_key":
                raise ValueError("`model` must draw nothing beside its sites, by `prng_key`: it would be random.")

    def initial(arrays: PyTree[Array], key: Any) -> Position:
        args, kwargs = eqx.combine(arrays, rest)
        sites = _trace(Deterministic(model), key, {}, args, kwargs, init_to_uniform)
        _check(sites)
        latent = {name: site for name, site in sites.items() if site["type"] == "sample" and not site["is_observed"]}
        order.extend(latent)
        dims.update({name: _dims(site) for name, site in sites.items() if site["type"] in ("sample", "deterministic")})
        return {name: biject_to(site["fn"].support).inv(site["value"]) for name, site in latent.items()}

    def prior(arrays: PyTree[Array], key: Any) -> None:
        args, kwargs = eqx.combine(arrays, rest)
        _trace(model, key, {}, args, kwargs)

    try:
        position = jax.eval_shape(initial, arrays, jax.random.key(0))
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
        raise ValueError(
            "`model` needs a value of its data to be compiled, such as a number of groups that is a shape. "
            "Give it that number as an argument that is a Python integer, or leave the data out of the arguments "
            "of `from_numpyro`, by `functools.partial(model, data)`."
        ) from error
    if not position:
        raise ValueError("`model` must have a latent site, one without `obs`: there is nothing to sample.")
    try:
        jax.eval_shape(prior, arrays, jax.random.key(0))
        proper = True
    except NotImplementedError:  # as of `ImproperUniform`
        proper = False
    latent = tuple((name, position[name].shape, position[name].dtype) for name in order)
    return _Sites(latent, tuple((name, names) for name, names in dims.items() if names), proper)


def _check(sites: dict[str, Any]) -> None:
    """A ValueError if a site is of a kind that has no place in a log density of floats."""
    of_type = lambda kind: [name for name, site in sites.items() if site["type"] == kind]
    discrete = [
        name for name in of_type("sample") if not sites[name]["is_observed"] and sites[name]["fn"].support.is_discrete
    ]
    if discrete:
        raise ValueError(
            f"`model` must have no discrete latent sites, got {discrete}: there is no gradient in them. If that is "
            "data, its `obs` was None: give it among the arguments of `from_numpyro`. Otherwise sum over it in the "
            "model, by `numpyro.distributions.MixtureSameFamily` for one."
        )
    if params := of_type("param"):
        raise ValueError(f"`model` must have no `numpyro.param`, got {params}: give each a prior, by `numpyro.sample`.")
    part = [name for name in of_type("plate") if sites[name]["args"][1] not in (None, sites[name]["args"][0])]
    if part:
        raise ValueError(f"`model` must have plates without `subsample_size`, got {part}: each step needs all data.")


def _dims(site: dict[str, Any]) -> tuple[str, ...]:
    """The names of the axes of a site: those of plates are the plates', others are made up; none of one in no plate."""
    shape = jnp.shape(site["value"])
    event = len(site["fn"].event_shape) if site["type"] == "sample" else 0
    names = {len(shape) - event + frame.dim: frame.name for frame in site["cond_indep_stack"]}
    sizes = {len(shape) - event + frame.dim: frame.size for frame in site["cond_indep_stack"]}
    if not names or any(axis < 0 or shape[axis] != sizes[axis] for axis in names):
        return ()
    return tuple(names.get(axis, f"{site['name']}_dim_{axis}") for axis in range(len(shape)))
