"""The operators of `hype_ad` by central differences: for checks, and for functions that JAX cannot trace.

They have the same names and shapes, and take any function: of NumPy and SciPy, of a simulator, of a `D`, `DV` or
`DM`. `f` gets points of the kind that it is differentiated at, so NumPy's at a NumPy array and Python's at a Python
number, and derivatives come in that kind too. The step is chosen by looking at the error: each derivative along a
direction is extrapolated from a series of ever smaller steps (some ten to a hundred evaluations of `f`), which
leaves about ten digits of a first derivative and eight of a second in double precision. Where `f` is not finite
around `x`, derivatives are NaN.

They are for numbers, not for use inside `jit`, `vmap` or other derivatives; traced arguments raise a TypeError. What
the operators of `hype_ad` raise, these raise too.
"""

from ._first import curl as curl
from ._first import curl_div as curl_div
from ._first import div as div
from ._first import grad as grad
from ._first import gradv as gradv
from ._first import jacobian as jacobian
from ._first import jacobian_t as jacobian_t
from ._first import jacobian_tv as jacobian_tv
from ._first import jacobianv as jacobianv
from ._first import jvp as jvp
from ._first import value_and_curl as value_and_curl
from ._first import value_and_curl_div as value_and_curl_div
from ._first import value_and_div as value_and_div
from ._first import value_and_grad as value_and_grad
from ._first import value_and_gradv as value_and_gradv
from ._first import value_and_jacobian as value_and_jacobian
from ._first import value_and_jacobian_t as value_and_jacobian_t
from ._first import value_and_jacobian_tv as value_and_jacobian_tv
from ._first import value_and_jacobianv as value_and_jacobianv
from ._first import vjp as vjp
from ._second import diff as diff
from ._second import diff2 as diff2
from ._second import diffn as diffn
from ._second import grad_hessian as grad_hessian
from ._second import grad_hvp as grad_hvp
from ._second import hessian as hessian
from ._second import hessian_diag as hessian_diag
from ._second import hvp as hvp
from ._second import laplacian as laplacian
from ._second import value_and_diff as value_and_diff
from ._second import value_and_diff2 as value_and_diff2
from ._second import value_and_diff_diff2 as value_and_diff_diff2
from ._second import value_and_diffn as value_and_diffn
from ._second import value_and_grad_hessian as value_and_grad_hessian
from ._second import value_and_grad_hvp as value_and_grad_hvp
from ._second import value_and_hessian as value_and_hessian
from ._second import value_and_hessian_diag as value_and_hessian_diag
from ._second import value_and_hvp as value_and_hvp
from ._second import value_and_laplacian as value_and_laplacian
