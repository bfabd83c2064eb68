"""Data sets, and the readers of the files that they come in."""

from .dataset import Dataset as Dataset
from .delimited import load_csv as load_csv
from .delimited import load_delimited as load_delimited
from .idx import load_idx as load_idx
from .image import load_image as load_image
from .mnist import load_mnist as load_mnist
from .npz import load_npz as load_npz
from .scaling import Scaling as Scaling
