"""Hamiltonian Monte Carlo that samples well by default, and whose step size and mass matrix have derivatives."""

from ._adjoint import AbstractAdjoint as AbstractAdjoint
from ._adjoint import Checkpointed as Checkpointed
from ._annealing import AnnealedHMC as AnnealedHMC
from ._annealing import elbo as elbo
from ._dynamic_hmc import DynamicHMC as DynamicHMC
from ._hmc import HMC as HMC
from ._integrator import Integrator as Integrator
from ._integrator import leapfrog as leapfrog
from ._integrator import mclachlan as mclachlan
from ._integrator import yoshida as yoshida
from ._kernel import AbstractKernel as AbstractKernel
from ._kernel import HMCInfo as HMCInfo
from ._kernel import HMCState as HMCState
from ._logdensity import log_of as log_of
from ._mass import AbstractMass as AbstractMass
from ._mass import DenseMass as DenseMass
from ._mass import DiagonalMass as DiagonalMass
from ._mass import UnitMass as UnitMass
from ._objective import chees as chees
from ._objective import expected_squared_jump as expected_squared_jump
from ._reversible import Reversible as Reversible
from ._sample import sample as sample
from ._samples import SamplerState as SamplerState
from ._samples import Samples as Samples
from ._summary import Summary as Summary
from ._trajectory import Phase as Phase
