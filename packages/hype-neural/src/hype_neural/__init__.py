"""Neural network layers with differentiable initializers, trained by loops that are themselves differentiable."""

from hype_optim import load as load
from hype_optim import save as save

from ._activation import Activation as Activation
from ._bidirectional import Bidirectional as Bidirectional
from ._classifier import AbstractClassifier as AbstractClassifier
from ._classifier import LogisticClassifier as LogisticClassifier
from ._classifier import SoftmaxClassifier as SoftmaxClassifier
from ._equinox_layer import EquinoxLayer as EquinoxLayer
from ._feed_forward import FeedForward as FeedForward
from ._gru import GRU as GRU
from ._initializer import AbstractInitializer as AbstractInitializer
from ._initializer import InitCustom as InitCustom
from ._initializer import InitNormal as InitNormal
from ._initializer import InitOrthogonal as InitOrthogonal
from ._initializer import InitRBM as InitRBM
from ._initializer import InitReLU as InitReLU
from ._initializer import InitSigmoid as InitSigmoid
from ._initializer import InitStandard as InitStandard
from ._initializer import InitTanh as InitTanh
from ._initializer import InitUniform as InitUniform
from ._language import Language as Language
from ._layer import Layer as Layer
from ._linear import Linear as Linear
from ._linear import LinearNoBias as LinearNoBias
from ._lstm import LSTM as LSTM
from ._lstm import LSTMState as LSTMState
from ._recurrence import AbstractRecurrent as AbstractRecurrent
from ._recurrence import Recurrence as Recurrence
from ._rnn import RNN as RNN
from ._rnn import Recurrent as Recurrent
from ._summary import summary as summary
from ._tokens import AbstractTokenizer as AbstractTokenizer
from ._tokens import Characters as Characters
from ._tokens import Words as Words
