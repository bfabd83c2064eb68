"""Files and pictures of results."""

from .save import load as load
from .save import save as save
