"""The one image type that passes between decoding, framing and detectors."""

import numpy as np
import numpy.typing as npt

RgbImage = npt.NDArray[np.uint8]
"""One decoded image: uint8, (height, width, 3), RGB, values 0 to 255."""
