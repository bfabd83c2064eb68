"""What a job costs, in numbers that the load of a machine does not change.

equations   of the traced program, those of a loop's body once: what tracing, compiling and each turn take
arithmetic  additions and multiplications, loops as often as they run
callbacks   calls from the compiled program to Python
traces      of the user's function
temporary   bytes of the compiled program
programs    compiled at a first call, and again at a second one with other numbers
puts, reads of arrays at that second call, from Python to the device and back
"""

import os

import jax
from hype_ad.internal.programs import all_equations
from hype_optim._transform.jaxpr import operations
from jax._src.array import ArrayImpl

TOLERANCES = {"equations": 0.03, "arithmetic": 0.03, "temporary": 0.05}
"""By how much a number may exceed what is recorded, relatively; the others not at all."""

AS_RECORDED = "--xla_cpu_enable_concurrency_optimized_scheduler=false" in os.environ.get("XLA_FLAGS", "")
"""Whether memory counts: that flag of `nox -s together` changes it by up to a half, and is not set for one program."""


def traced(job, body, *arrays, compiled=False):
    """The costs of a job that is traced, and perhaps compiled, but not run."""
    traces = []

    def counted(*args):
        traces.append(1)
        return body(*args)

    program = jax.jit(lambda arrays: job(counted, *arrays)).trace(arrays)
    names = [equation.primitive.name for equation in all_equations(program.jaxpr)]
    found = {
        "equations": len(names),
        "arithmetic": round(operations(program.jaxpr)[0]),
        "callbacks": sum(name.endswith("callback") for name in names),
        "traces": len(traces),
    }
    if compiled and AS_RECORDED:
        found["temporary"] = program.lower().compile().memory_analysis().temp_size_in_bytes
    return found


def called(job, monkeypatch, capfd):
    """The costs of a job as it is called, twice."""
    programs, reads = [], []
    count = lambda event, seconds, **_: programs.append(event) if event.endswith("compile_duration") else None
    value = ArrayImpl._value.fget
    jax.monitoring.register_event_duration_secs_listener(count)
    compiled = []
    for key in jax.random.split(jax.random.key(0)):
        given = jax.block_until_ready((jax.random.normal(key, (5,)), key))
        programs.clear()
        reads.clear()
        capfd.readouterr()
        with monkeypatch.context() as patch, jax.transfer_guard_host_to_device("log"):
            patch.setattr(ArrayImpl, "_value", property(lambda array: reads.append(1) or value(array)))
            jax.block_until_ready(jax.tree.leaves(job(*given)))
        compiled.append(len(programs))
    jax.monitoring.unregister_event_duration_listener(count)
    puts = capfd.readouterr().err.count("host-to-device transfer")
    return {"programs": compiled[0], "programs again": compiled[1], "puts": puts, "reads": len(reads)}


def worse(found, recorded):
    """A line for each number that exceeds the one recorded by more than it may."""
    for name, costs in found.items():
        before = recorded.get(name, {})
        for kind, cost in costs.items():
            limit = before.get(kind, -1) * (1 + TOLERANCES.get(kind, 0))
            if cost > limit:
                yield f"{name}: {kind} are {cost:,}, and were {before.get(kind, 'not recorded')}"
