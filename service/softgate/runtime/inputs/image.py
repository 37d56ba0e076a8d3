"""Images, PNG or JPEG → one tensor of pixels, as the card says they were prepared when the model was trained."""

import binascii
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softgate.errors import CardInvalid, GraphInvalid, ImageInvalid
from softgate.runtime.inputs.formats import CUT_OFF, check_headers, pixels_of
from softgate.runtime.table import Table
from softgate.types import Rows, TensorSpec

CHANNELS = {"rgb": 3, "bgr": 3, "grayscale": 1}
LAYOUTS = ("nchw", "nhwc")
FITS = ("stretch", "crop")
RESAMPLES = ("bilinear", "bicubic", "nearest")
SCALE, MEAN, STD = 1 / 255, (0.0,), (1.0,)
MAX_SIDE = 4096
DATA_URL = re.compile(r"data:image/[a-z0-9.+-]{1,32};base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ImageKeys:
    tensor: str | None
    """Name of the graph's input, where the card states it."""
    size: tuple[int, int] | None
    """Height and width; None: those of the graph."""
    layout: str | None
    """Where the channels stand; None: the graph's shape tells."""
    color: str | None
    """None: rgb for three channels, grayscale for one."""
    scale: float
    """x = (pixel · scale - mean) / std, for pixels of 0 to 255."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Both by channel in the order of `color`, or one for all."""
    fit: str
    resample: str


@dataclass(frozen=True, slots=True)
class Picture:
    """What the graph takes for one row."""

    height: int
    width: int
    color: str
    channels_last: bool


def read(table: Table) -> ImageKeys:
    size = table.numbers("size", None, low=1, high=MAX_SIDE, lengths=(2,))
    if size is not None and any(side != int(side) for side in size):
        table.note("size", "wanted whole numbers of pixels.")
    mean = table.numbers("mean", MEAN, low=-1e6, high=1e6, lengths=(1, 3))
    std = table.numbers("std", STD, low=1e-6, high=1e6, lengths=(1, 3))
    return ImageKeys(
        tensor=table.text("tensor", None),
        size=None if size is None else (int(size[0]), int(size[1])),
        layout=table.text("layout", None, one_of=LAYOUTS),
        color=table.text("color", None, one_of=tuple(CHANNELS)),
        scale=table.number("scale", SCALE, low=1e-6, high=1e6),
        # 0 and 0.0 are one number, so that a calibration is bound to one of them.
        mean=tuple(map(float, mean)),
        std=tuple(map(float, std)),
        fit=table.text("fit", "stretch", one_of=FITS),
        resample=table.text("resample", "bilinear", one_of=RESAMPLES),
    )


class ImageInput:
    """For graphs that take one tensor of pixels. A row is a file: its bytes, or those in base64."""

    row: Any = str
    depth = 0
    pairs = False
    tensors: Sequence[TensorSpec] = (TensorSpec("image", np.dtype(object), (None,)),)

    def __init__(self, specs: Sequence[TensorSpec], keys: ImageKeys, *, tokenizer: bytes | None) -> None:
        """Raises CardInvalid and GraphInvalid where the graph takes something else."""
        if tokenizer is not None:
            raise CardInvalid("input.kind is image, yet the model folder holds a tokenizer.json; wanted kind text.")
        try:
            from PIL import Image  # noqa: PLC0415 - an extra, needed by this kind alone
        except ImportError as exc:
            raise CardInvalid("input.kind is image, which needs an extra: pip install 'softgate[image]'.") from exc
        self._pillow = Image
        self._resample = Image.Resampling[keys.resample.upper()]
        self._spec = _spec(specs, keys.tensor)
        self._picture = _picture(self._spec, keys)
        self._crop = keys.fit == "crop"
        self._values = _values(self._spec, keys, n_channels=CHANNELS[self._picture.color])

    def check(self, values: Sequence[Any]) -> Rows:
        """Looks at headers alone: pixels are work for the model's thread. Raises ImageInvalid and ImageTooLarge."""
        contents = [_content(value, row) for row, value in enumerate(values)]
        check_headers(contents)
        return Rows(contents)

    def check_tensors(self, tensors: Sequence[NDArray[Any]]) -> Rows:
        """Raises ImageInvalid and ImageTooLarge."""
        return self.check(tensors[0].tolist())

    def feed(self, rows: Rows) -> Mapping[str, NDArray[np.generic]]:
        """Raises ImageInvalid for a file that does not decode."""
        picture, n_channels = self._picture, len(self._values)
        # By channel, whatever the graph's order: a view of it.
        shape = (len(rows), picture.height, picture.width, n_channels)
        tensor = np.empty(shape if picture.channels_last else (shape[0], n_channels, *shape[1:3]), self._spec.dtype)
        by_channel = np.moveaxis(tensor, -1, 1) if picture.channels_last else tensor
        for row, content in enumerate(rows.values):
            pixels = self._pixels(content)
            for channel, values in enumerate(self._values):
                by_channel[row, channel] = values[pixels[:, :, channel]]
        # A graph may have no axis for its one channel, or a single one for all pixels.
        axes = {2: (-1,), 3: shape[1:3], 4: tensor.shape[1:]}[len(self._spec.shape)]
        return {self._spec.name: tensor.reshape(len(rows), *axes)}

    def samples(self, n_rows: int) -> Sequence[str]:
        # Small ones would be alike by chance.
        height, width = max(self._picture.height, 8), max(self._picture.width, 8)
        noise = np.random.default_rng(0).integers(0, 256, (n_rows, height, width), np.uint8)
        return [binascii.b2a_base64(self._png(pixels), newline=False).decode() for pixels in noise]

    def _pixels(self, content: bytes) -> NDArray[np.uint8]:
        """Shape (height, width, n_channels), in the order of the card's colour."""
        wanted = (self._picture.width, self._picture.height)
        try:
            with self._pillow.open(io.BytesIO(pixels_of(content)), formats=("PNG", "JPEG")) as opened:
                # Pillow has no way from the colours of print to grey.
                image = opened.convert("RGB") if opened.mode == "CMYK" else opened
                image = image.convert("L" if self._picture.color == "grayscale" else "RGB")
        except (ImageInvalid, MemoryError):
            raise
        except Exception as exc:
            raise ImageInvalid(CUT_OFF) from exc
        if image.size != wanted:
            box = _centre(image.size, wanted) if self._crop else None
            image = image.resize(wanted, self._resample, box=box)
        pixels = np.asarray(image).reshape(self._picture.height, self._picture.width, -1)
        return pixels[:, :, ::-1] if self._picture.color == "bgr" else pixels

    def _png(self, pixels: NDArray[np.uint8]) -> bytes:
        with io.BytesIO() as file:
            self._pillow.fromarray(pixels).save(file, "PNG")
            return file.getvalue()


def _content(value: Any, row: int) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ImageInvalid(f"Expected an image in base64 in each row; row {row} has none.")
    prefix = DATA_URL.match(value)
    try:
        return binascii.a2b_base64(value[prefix.end() :] if prefix else value, strict_mode=True)
    except ValueError as exc:
        raise ImageInvalid(f"Expected images in padded base64 without spaces or line ends; row {row} differs.") from exc


def _centre(size: tuple[int, int], wanted: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest part of `size` about its centre that has the proportions of `wanted`: left, top, right, bottom."""
    scale = min(size[0] / wanted[0], size[1] / wanted[1])
    width, height = (min(side * scale, whole) for side, whole in zip(wanted, size, strict=True))
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return left, top, left + width, top + height


def _spec(specs: Sequence[TensorSpec], name: str | None) -> TensorSpec:
    if len(specs) != 1 or name not in (None, specs[0].name) or len(specs[0].shape) not in (2, 3, 4):
        of_name = "" if name is None else f" named {name}"
        raise GraphInvalid(
            f"input.kind is image, which wants a graph with one input{of_name} of shape [batch, channels, height, "
            f"width], [batch, height, width, channels], [batch, height, width] or [batch, pixels]; got {_named(specs)}."
        )
    if specs[0].dtype.kind != "f" and specs[0].dtype != np.uint8:
        raise GraphInvalid(f"input.kind is image, which wants a graph of floats or uint8; got {_named(specs)}.")
    return specs[0]


def _picture(spec: TensorSpec, keys: ImageKeys) -> Picture:
    """What the graph's shape and the card say together. Raises CardInvalid where they differ or leave a gap."""
    channels_last = _channels_last(spec, keys)
    flat = len(spec.shape) == 2
    n_channels: int | None = 1
    sides = [None, None] if flat else list(spec.shape[1:])
    if len(sides) == 3:
        n_channels = sides.pop(2 if channels_last else 0)
    height, width = _size(spec, sides, keys)
    if flat:
        n_channels = None if spec.shape[1] is None else spec.shape[1] // (height * width)
        if n_channels is not None and n_channels * height * width != spec.shape[1]:
            raise CardInvalid(f"input.size is [{height}, {width}]; the graph takes {spec}.")
    if n_channels is None:
        if keys.color is None:
            raise CardInvalid(f"input.color: missing; the graph leaves the number of channels open: {spec}.")
        n_channels = CHANNELS[keys.color]
    if n_channels not in CHANNELS.values():
        raise GraphInvalid(f"input.kind is image, which wants 1 or 3 channels; the graph takes {spec}.")
    color = keys.color or ("grayscale" if n_channels == 1 else "rgb")
    if CHANNELS[color] != n_channels:
        raise CardInvalid(f"input.color is {color}, yet the graph's number of channels is {n_channels}: {spec}.")
    if flat and n_channels > 1 and keys.layout is None:
        raise CardInvalid("input.layout: missing; the graph does not tell in which order the pixels of a row stand.")
    return Picture(height, width, color, channels_last)


def _channels_last(spec: TensorSpec, keys: ImageKeys) -> bool:
    if len(spec.shape) == 3 and keys.layout is not None:
        raise CardInvalid(f"input.layout is {keys.layout}; the graph has no axis for channels: {spec}.")
    if keys.layout is not None or len(spec.shape) < 4:
        return keys.layout == "nhwc"
    first, last = (spec.shape[axis] in CHANNELS.values() for axis in (1, 3))
    if first == last:
        raise CardInvalid(f"input.layout: missing; the graph does not tell where its channels stand: {spec}.")
    return last


def _size(spec: TensorSpec, fixed: Sequence[int | None], keys: ImageKeys) -> tuple[int, int]:
    height, width = keys.size or fixed
    if height is None or width is None:
        raise CardInvalid(f"input.size: missing; wanted [height, width], which the graph leaves open: {spec}.")
    if any(wanted not in (None, side) for side, wanted in zip((height, width), fixed, strict=True)):
        raise CardInvalid(f"input.size is [{height}, {width}]; the graph takes {spec}.")
    return height, width


def _values(spec: TensorSpec, keys: ImageKeys, *, n_channels: int) -> NDArray[Any]:
    """Shape (n_channels, 256): what each pixel becomes. Raises CardInvalid."""
    if spec.dtype == np.uint8:
        if (keys.scale, keys.mean, keys.std) != (SCALE, MEAN, STD):
            raise CardInvalid(f"input.scale, input.mean and input.std are for floats; the graph takes {spec}.")
        return np.tile(np.arange(256, dtype=np.uint8), (n_channels, 1))
    for name, numbers in (("mean", keys.mean), ("std", keys.std)):
        if len(numbers) not in (1, n_channels):
            raise CardInvalid(f"input.{name} has {len(numbers)} numbers; wanted 1 or {n_channels}, one per channel.")
    mean, std = (np.broadcast_to(numbers, n_channels)[:, None] for numbers in (keys.mean, keys.std))
    with np.errstate(over="ignore"):
        values = ((np.arange(256) * keys.scale - mean) / std).astype(spec.dtype)
    if not np.isfinite(values).all():
        raise CardInvalid(f"input.scale, input.mean and input.std make numbers that {spec.dtype} cannot hold.")
    return np.asarray(values)


def _named(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(map(str, specs))
