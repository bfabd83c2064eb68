"""Names for the static types of operators and methods, which only type checkers know: they read `signatures.pyi`."""

from typing import Any

Operator = Product = Reduction = Item = Any
