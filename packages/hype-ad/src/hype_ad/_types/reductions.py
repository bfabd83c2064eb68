"""Methods that take away axes."""

import functools
from collections.abc import Callable
from typing import Any

from jaxtyping import Array

from .by_rank import of_rank
from .signatures import Reduction


def reduction(method: Callable[..., Array]) -> Reduction:
    """Lets a method that gives an array give the tensor of the array's rank."""

    def with_type(self: Any, *args: Any, **kwargs: Any) -> Any:
        return of_rank(method(self, *args, **kwargs))

    functools.update_wrapper(with_type, method)
    return with_type
