"""
PNG and JPEG as bytes: which of the two, how large, and the part that holds the pixels. Nothing is decoded here.

A few kilobytes may stand for gigabytes of pixels, so size comes first. What is not pixels (EXIF, colour profiles,
comments, transparency, frames after the first) is left out before a decoder sees it: it is where decoders trip.
"""

import zlib
from collections.abc import Iterator, Sequence

from softgate.errors import ImageInvalid, ImageTooLarge

# 4096 x 4096, more than a phone's usual 12 megapixels: 64 MB once decoded.
MAX_PIXELS = 2**24
# Of all rows of a request together: what one image may have, and so many more for every byte sent. A photo has 4 to 30
# pixels a byte, a scanned page 100, a blank sheet of one bit 8000, and a thousand such are a minute's work in 3 MB.
PIXELS_PER_BYTE = 128
# The most that JPEG can say. Resizing keeps weights for each pixel of a side.
MAX_SIDE = 65_535
# Before the size is known; real files have some twenty.
MAX_SEGMENTS = 1000
# Every scan of a progressive JPEG goes over the whole picture and may take 13 bytes; encoders write about ten.
# At 16 megapixels each costs 11 ms: without a limit 132 kB kept a decoder busy for 23 s, measured.
# https://libjpeg-turbo.org/pmwiki/uploads/About/TwoIssueswiththeJPEGStandard.pdf
MAX_SCANS = 32

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
JPEG_START, JPEG_END, JPEG_SCAN = b"\xff\xd8", b"\xff\xd9", 0xDA
# Start of frame: all of C0 to CF but three that are tables.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_COMMENT = 0xFE
# Of the application's segments those that say how colours are coded: JFIF and Adobe.
JPEG_METADATA = frozenset({*range(0xE0, 0xF0), JPEG_COMMENT}) - {0xE0, 0xEE}
CUT_OFF = "Expected whole PNG or JPEG images; one is corrupt or cut off."


def check_headers(contents: Sequence[bytes]) -> None:
    """Raises ImageInvalid for another format and ImageTooLarge, at a cost that does not grow with the images."""
    n_pixels = sum(_checked_size(content, row) for row, content in enumerate(contents))
    n_bytes = sum(map(len, contents))
    if n_pixels > MAX_PIXELS + PIXELS_PER_BYTE * n_bytes:
        raise ImageTooLarge(
            f"Expected at most {MAX_PIXELS} pixels in all and {PIXELS_PER_BYTE} more per byte; "
            f"got {n_pixels} in {n_bytes} bytes."
        )


def _checked_size(content: bytes, row: int) -> int:
    header = _png_header(content) or _jpeg_header(content)
    if header is None:
        raise ImageInvalid(f"Expected PNG or JPEG images; row {row} is neither, or cut off before its size.")
    bits, width, height = header
    if bits > 8:
        raise ImageInvalid(f"Expected images of at most 8 bits per channel; row {row} has {bits}.")
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ImageTooLarge(
            f"Expected images of at most {MAX_PIXELS} pixels and {MAX_SIDE} a side; row {row} has {width} x {height}."
        )
    if width == 0 or height == 0:
        raise ImageInvalid(f"Expected images of at least one pixel; row {row} has {width} x {height}.")
    return width * height


def pixels_of(content: bytes) -> bytes:
    """The same file with nothing in it but the first picture's pixels. Raises ImageInvalid."""
    return b"".join(_png_pixels(content) if content.startswith(PNG_SIGNATURE) else _jpeg_pixels(content))


def _png_header(content: bytes) -> tuple[int, int, int] | None:
    if not content.startswith(PNG_SIGNATURE) or content[12:16] != b"IHDR" or len(content) < 33:
        return None
    return content[24], int.from_bytes(content[16:20]), int.from_bytes(content[20:24])


def _png_pixels(content: bytes) -> Iterator[bytes]:
    yield PNG_SIGNATURE
    start, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        kind = content[start + 4 : start + 8]
        stop = start + 12 + int.from_bytes(content[start : start + 4])
        if stop > len(content) or len(kind) < 4:
            raise ImageInvalid(CUT_OFF)
        if kind in PNG_CHUNKS:
            sound = zlib.crc32(memoryview(content)[start + 4 : stop - 4]) == int.from_bytes(content[stop - 4 : stop])
            # A second header would be another size than the one that was checked.
            if not sound or (kind == b"IHDR" and start > len(PNG_SIGNATURE)):
                raise ImageInvalid(CUT_OFF)
            yield content[start:stop]
        start = stop


def _jpeg_header(content: bytes) -> tuple[int, int, int] | None:
    for marker, start, _ in _jpeg_segments(content):
        if marker in JPEG_FRAMES:
            height, width = (int.from_bytes(content[at : at + 2]) for at in (start + 5, start + 7))
            return content[start + 4], width, height
    return None


def _jpeg_pixels(content: bytes) -> Iterator[bytes]:
    yield JPEG_START
    frames, marker, stop = 0, 0, 0
    for marker, start, stop in _jpeg_segments(content):
        frames += marker in JPEG_FRAMES
        if marker not in JPEG_METADATA:
            yield content[start:stop]
    end = content.find(JPEG_END, stop)
    # A second frame would be another size than the one that was checked.
    if marker != JPEG_SCAN or frames != 1 or end < 0:
        raise ImageInvalid(CUT_OFF)
    if content.count(bytes([0xFF, JPEG_SCAN]), stop, end) >= MAX_SCANS:
        raise ImageInvalid(f"Expected JPEG images of at most {MAX_SCANS} scans; one has more.")
    # Whatever follows the end (a film, a second picture) is left out.
    yield content[stop : end + len(JPEG_END)]


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and stop of each segment up to the first scan's, as far as they are whole."""
    if not content.startswith(JPEG_START):
        return
    start = len(JPEG_START)
    for _ in range(MAX_SEGMENTS):
        head = content[start : start + 4]
        if len(head) < 4 or head[0] != 0xFF:
            return
        if head[1] == 0xFF:
            # Any number of these may fill the room before a marker.
            start += 1
            continue
        stop = start + 2 + int.from_bytes(head[2:])
        # The shortest frame header is that of one channel.
        if stop > len(content) or stop < start + (13 if head[1] in JPEG_FRAMES else 4):
            return
        yield head[1], start, stop
        if head[1] == JPEG_SCAN:
            return
        start = stop
