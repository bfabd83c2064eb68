"""How a run goes: its problem, its state, a step, the judging of weights, the loop, and what comes of it."""
