"""The operators of `hype_ad` by central differences: for checks, and for functions that JAX cannot trace.

They have the same names and shapes, and take any function: of NumPy and SciPy, of a simulator, of a `D`, `DV` or
`DM`. `f` gets points of the kind that it is differentiated at, so NumPy's at a NumPy array and Python's at a Python
number, and derivatives come in that kind too. The step is chosen by looking at the error: each derivative along a
direction is extrapolated from a series of ever smaller steps (some ten to a hundred evaluations of `f`), which
leaves about ten digits of a first derivative and eight of a second in double precision. Where `f` is not finite
around `x`, derivatives are NaN. `jacobian_tv` and `vjp` take the whole Jacobian.

They are for numbers, not for use inside `jit`, `vmap` or other derivatives; traced arguments raise a TypeError. What
the operators of `hype_ad` raise, these raise too.
"""

from functools import partial as _partial

from .._diff.checks import check_scalar as _scalar
from .._diff.checks import check_vector as _check_vector
from . import _parts
from ._operators import diffn as diffn
from ._operators import diffnv as diffnv
from ._operators import jvp as jvp
from ._operators import pair as _pair
from ._operators import value_and_diffn as value_and_diffn
from ._operators import value_and_diffnv as value_and_diffnv
from ._operators import vjp as vjp

_in_space = _partial(_check_vector, length=3)

diff, value_and_diff = _pair("diff", _parts.derivative(1), point=_scalar)
diff2, value_and_diff2 = _pair("diff2", _parts.derivative(2), point=_scalar)
_, value_and_diff_diff2 = _pair("diff_diff2", _parts.derivative(1), _parts.derivative(2), point=_scalar)
grad, value_and_grad = _pair("grad", _parts.gradient, value=_scalar)
gradv, value_and_gradv = _pair("gradv", _parts.along, value=_scalar)
hessian, value_and_hessian = _pair("hessian", _parts.hessian, value=_scalar)
grad_hessian, value_and_grad_hessian = _pair("grad_hessian", _parts.gradient, _parts.hessian, value=_scalar)
hvp, value_and_hvp = _pair("hvp", _parts.hessian_product, value=_scalar)
grad_hvp, value_and_grad_hvp = _pair("grad_hvp", _parts.gradient, _parts.hessian_product, value=_scalar)
hessian_diag, value_and_hessian_diag = _pair("hessian_diag", _parts.hessian_diag, value=_scalar)
laplacian, value_and_laplacian = _pair("laplacian", _parts.laplacian, value=_scalar)
grad_laplacian, value_and_grad_laplacian = _pair("grad_laplacian", _parts.gradient, _parts.laplacian, value=_scalar)
jacobian, value_and_jacobian = _pair("jacobian", _parts.jacobian)
jacobian_t, value_and_jacobian_t = _pair("jacobian_t", _parts.jacobian_t)
jacobianv, value_and_jacobianv = _pair("jacobianv", _parts.along)
jacobian_tv, value_and_jacobian_tv = _pair("jacobian_tv", _parts.pulled_back)
div, value_and_div = _pair("div", _parts.divergence)
curl, value_and_curl = _pair("curl", _parts.curl, point=_in_space, value=_in_space)
curl_div, value_and_curl_div = _pair("curl_div", _parts.curl, _parts.jacobian_trace, point=_in_space, value=_in_space)
