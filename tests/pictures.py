"""Image files made on the spot: real ones by Pillow, hostile ones by hand."""

import base64
import io
import zlib
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, RGBA = 0, 2, 3, 6


def encoded(pixels: NDArray[np.uint8] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    with io.BytesIO() as file:
        image.save(file, kind, **options)
        return file.getvalue()


def decoded(content: bytes, mode: str) -> NDArray[np.uint8]:
    """By Pillow alone, as a training script would."""
    with Image.open(io.BytesIO(content)) as image:
        whole = image.convert("RGBA") if "transparency" in image.info else image
        return np.asarray(whole.convert(mode))


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def noise(height: int, width: int, *channels: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, *channels), np.uint8)


def chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def header(width: int, height: int, *, bits: int = 8, color: int = GREY) -> bytes:
    return chunk(b"IHDR", width.to_bytes(4) + height.to_bytes(4) + bytes([bits, color, 0, 0, 0]))


def png(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks) + chunk(b"IEND", b"")


@cache
def bomb(side: int = 30_000) -> bytes:
    """A whole picture, all black, of a bit per pixel: a hundred kilobytes that are a hundred megabytes and more."""
    rows = zlib.compress(bytes((1 + (side + 7) // 8) * side))
    return png(header(side, side, bits=1), chunk(b"IDAT", rows))


def parts(content: bytes) -> list[bytes]:
    """The chunks of a PNG file."""
    found, start = [], len(SIGNATURE)
    while start < len(content):
        stop = start + 12 + int.from_bytes(content[start : start + 4])
        found.append(content[start:stop])
        start = stop
    return found


def segment(marker: int, content: bytes) -> bytes:
    """Of a JPEG file."""
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2) + content
