"""How long JAX has spent on tracing and compiling in this process, to be told apart from running."""

import time

import jax.monitoring

_spent: list[tuple[float, float]] = []  # when each piece of work began and ended


def compile_seconds() -> float:
    """The seconds spent so far, each counted once, though a function is traced while another one is."""
    return sum(end - begin for begin, end in _spent)


def _record(event: str, duration_secs: float, **_: str | int) -> None:
    if event.startswith("/jax/core/compile"):
        end = time.perf_counter()
        # What was recorded within this piece of work is a part of it.
        while _spent and _spent[-1][0] >= end - duration_secs:
            _spent.pop()
        _spent.append((end - duration_secs, end))


jax.monitoring.register_event_duration_secs_listener(_record)
