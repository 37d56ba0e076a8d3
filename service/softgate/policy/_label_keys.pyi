import numpy as np
from numpy.typing import NDArray

def joined(text: bytes, starts: NDArray[np.int64], columns: NDArray[np.int64], numbers: bytes, /) -> bytes: ...
