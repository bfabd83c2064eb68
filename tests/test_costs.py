"""No job of `cost_jobs.py` costs more than `costs.json` says, on the versions of JAX that are recorded there.

What has become cheaper passes; record it with the change that made it so, or it may be lost again unseen. To record,
on each Python:

    RECORD_COSTS=1 nox -s together -- -n 0 tests/test_costs.py
"""

import json
import os
from pathlib import Path

import jax
import pytest

from . import cost_jobs, costs

FILE = Path(__file__).with_name("costs.json")
VERSION = ".".join(jax.__version__.split(".")[:2])


def check(kind, found):
    """Hold what was found to what is recorded, or record it."""
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    if os.environ.get("RECORD_COSTS"):
        known.setdefault(VERSION, {})[kind] = found
        FILE.write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n")
    elif VERSION not in known:
        pytest.skip(f"no costs are recorded for JAX {VERSION}: {__doc__}")
    lines = list(costs.worse(found, known[VERSION].get(kind, {})))
    assert not lines, "\n".join([*lines, "If it has to cost that much, record it:", __doc__])


def test_programs():
    jobs = cost_jobs.TRACED
    check("traced", {name: costs.traced(*job, compiled=name in cost_jobs.COMPILED) for name, job in jobs.items()})


def test_calls(monkeypatch, capfd):
    check("called", {name: costs.called(job, monkeypatch, capfd) for name, job in cost_jobs.CALLED.items()})
