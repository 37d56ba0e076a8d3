import builtins
import io
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from pictures import (
    GREY,
    PALETTE,
    RGB,
    bomb,
    chunk,
    decoded,
    encoded,
    header,
    in_base64,
    noise,
    parts,
    png,
    segment,
)
from softgate.errors import CardInvalid, GraphInvalid, ImageInvalid, ImageTooLarge
from softgate.runtime.inputs.formats import MAX_PIXELS, MAX_SCANS, MAX_SEGMENTS, MAX_SIDE, PIXELS_PER_BYTE
from softgate.runtime.inputs.image import ImageInput, ImageKeys, read
from softgate.runtime.table import Table
from softgate.types import TensorSpec

WHOLE_FILE = r"^Expected whole PNG or JPEG images; one is corrupt or cut off\.$"
OTHER_FORMAT = r"^Expected PNG or JPEG images; row 0 is neither, or cut off before its size\.$"


def table(mistakes: list[str] | None = None, **values: Any) -> ImageKeys:
    return read(Table(values, place="input", mistakes=[] if mistakes is None else mistakes))


def image_input(*shape: int | None, dtype: type[np.generic] = np.float32, **keys: Any) -> ImageInput:
    """For a graph of this shape, the first axis left out."""
    return ImageInput([TensorSpec("x", np.dtype(dtype), (None, *shape))], table(**keys), tokenizer=None)


def fed(source: ImageInput, *contents: bytes) -> NDArray[Any]:
    return np.asarray(source.feed(source.check(contents))["x"])


def raw(content: bytes, *, color: bool = False) -> NDArray[np.uint8]:
    """The pixels that a graph of 4 x 5 would get, as they are: (channels, 4, 5)."""
    return np.asarray(fed(image_input(3 if color else 1, 4, 5, dtype=np.uint8), content)[0])


# The card.


def test_the_keys_of_a_card_are_read() -> None:
    mistakes: list[str] = []

    found = table(
        mistakes,
        tensor="x",
        size=[8, 9],
        layout="nhwc",
        color="bgr",
        scale=1,
        mean=[1, 2.5, 3],
        std=[2],
        fit="crop",
        resample="nearest",
    )

    assert found == ImageKeys("x", (8, 9), "nhwc", "bgr", 1.0, (1.0, 2.5, 3.0), (2.0,), "crop", "nearest")
    assert table(mistakes) == ImageKeys(None, None, None, None, 1 / 255, (0.0,), (1.0,), "stretch", "bilinear")
    assert mistakes == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": [8]}, "input.size: got [8], wanted a list of 2 numbers from 1 to 4096."),
        ({"size": [8, 0]}, "input.size: got [8, 0], wanted a list of 2 numbers from 1 to 4096."),
        ({"size": [8, 8.5]}, "input.size: wanted whole numbers of pixels."),
        ({"layout": "chw"}, "input.layout: got 'chw', wanted one of nchw, nhwc."),
        ({"color": "gray"}, "input.color: got 'gray', wanted one of rgb, bgr, grayscale."),
        ({"scale": 0}, "input.scale: got 0, wanted a number from 1e-06 to 1e+06."),
        ({"mean": 0.5}, "input.mean: got 0.5, wanted a list of 1 or 3 numbers from -1e+06 to 1e+06."),
        ({"std": [0]}, "input.std: got [0], wanted a list of 1 or 3 numbers from 1e-06 to 1e+06."),
        ({"fit": "pad"}, "input.fit: got 'pad', wanted one of stretch, crop."),
        ({"resample": "lanczos"}, "input.resample: got 'lanczos', wanted one of bilinear, bicubic, nearest."),
    ],
)
def test_a_mistake_in_a_key_is_named(values: dict[str, object], message: str) -> None:
    mistakes: list[str] = []

    table(mistakes, **values)

    assert mistakes == [message]


# What the graph and the card say together.


@pytest.mark.parametrize(
    ("shape", "keys", "fed_shape"),
    [
        ((3, 4, 5), {}, (3, 4, 5)),
        ((4, 5, 3), {}, (4, 5, 3)),
        ((1, 4, 5), {}, (1, 4, 5)),
        ((4, 5, 1), {}, (4, 5, 1)),
        ((3, None, None), {"size": [4, 5]}, (3, 4, 5)),
        ((None, None, 3), {"size": [4, 5]}, (4, 5, 3)),
        ((None, 4, 5), {"layout": "nchw", "color": "rgb"}, (3, 4, 5)),
        ((None, None, None), {"layout": "nhwc", "color": "grayscale", "size": [4, 5]}, (4, 5, 1)),
        ((3, 4, 3), {"layout": "nchw"}, (3, 4, 3)),
        ((3, 4, 3), {"layout": "nhwc"}, (3, 4, 3)),
        ((4, 5), {}, (4, 5)),
        ((None, None), {"size": [4, 5]}, (4, 5)),
        ((20,), {"size": [4, 5]}, (20,)),
        ((None,), {"size": [4, 5], "color": "grayscale"}, (20,)),
        ((60,), {"size": [4, 5], "layout": "nhwc"}, (60,)),
    ],
)
def test_the_shape_of_the_graph_and_the_card_say_what_it_is_fed(
    shape: tuple[int | None, ...], keys: dict[str, Any], fed_shape: tuple[int, ...]
) -> None:
    assert fed(image_input(*shape, **keys), encoded(noise(9, 7, 3))).shape == (1, *fed_shape)


@pytest.mark.parametrize(
    ("shape", "keys", "message"),
    [
        ((3, None, None), {}, r"^input\.size: missing; wanted \[height, width\], .* x float32 \[any, 3, any, any\]\.$"),
        ((20,), {}, r"^input\.size: missing"),
        ((3, 4, 5), {"size": [5, 4]}, r"^input\.size is \[5, 4\]; the graph takes x "),
        ((21,), {"size": [4, 5]}, r"^input\.size is \[4, 5\]; the graph takes x "),
        ((None, 4, 5), {}, r"^input\.layout: missing; the graph does not tell where its channels stand: x "),
        ((3, 4, 3), {}, r"^input\.layout: missing"),
        ((60,), {"size": [4, 5]}, r"^input\.layout: missing; the graph does not tell in which order"),
        ((4, 5), {"layout": "nchw"}, r"^input\.layout is nchw; the graph has no axis for channels: x "),
        ((None, 4, 5), {"layout": "nchw"}, r"^input\.color: missing; the graph leaves the number of channels open: x "),
        ((1, 4, 5), {"color": "rgb"}, r"^input\.color is rgb, yet the graph's number of channels is 1: x float32 "),
        ((3, 4, 5), {"color": "grayscale"}, r"^input\.color is grayscale, yet the graph's number of channels is 3: x "),
        ((4, 5), {"color": "bgr"}, r"^input\.color is bgr, yet the graph's number of channels is 1: x "),
        ((1, 4, 5), {"mean": [0, 0, 0]}, r"^input\.mean has 3 numbers; wanted 1 or 1, one per channel\.$"),
    ],
)
def test_a_card_that_leaves_a_gap_or_contradicts_the_graph_is_refused(
    shape: tuple[int | None, ...], keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(CardInvalid, match=message):
        image_input(*shape, **keys)


@pytest.mark.parametrize(
    ("shape", "keys"),
    [((), {}), ((1, 2, 3, 4), {}), ((3, 4, 5), {"tensor": "y"}), ((2, 4, 5), {"layout": "nchw"})],
)
def test_a_graph_that_takes_no_images_is_refused(shape: tuple[int, ...], keys: dict[str, Any]) -> None:
    with pytest.raises(GraphInvalid, match=r"^input\.kind is image, which wants "):
        image_input(*shape, **keys)


def test_two_inputs_and_other_types_are_refused() -> None:
    spec = TensorSpec("x", np.dtype(np.float32), (None, 3, 4, 5))
    with pytest.raises(GraphInvalid, match="wants a graph with one input of shape"):
        ImageInput([spec, spec], table(), tokenizer=None)
    with pytest.raises(GraphInvalid, match="wants a graph of floats or uint8; got x int64"):
        image_input(3, 4, 5, dtype=np.int64)


def test_a_tokenizer_beside_a_model_of_images_is_refused() -> None:
    spec = TensorSpec("x", np.dtype(np.float32), (None, 3, 4, 5))
    with pytest.raises(CardInvalid, match=r"^input\.kind is image, yet the model folder holds a tokenizer\.json"):
        ImageInput([spec], table(), tokenizer=b"{}")


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "PIL":
            raise ImportError
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(CardInvalid, match=r"needs an extra: pip install 'softgate\[image\]'\.$"):
        image_input(3, 4, 5)


# Numbers.


def test_pixels_are_scaled_centred_and_divided_by_channel() -> None:
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    pixels = noise(4, 5, 3)

    found = fed(image_input(3, 4, 5, mean=mean, std=std), encoded(pixels))

    expected = (pixels / 255 - np.array(mean)) / np.array(std)
    assert found.dtype == np.float32
    assert_allclose(found[0], expected.transpose(2, 0, 1), rtol=1e-6, atol=1e-7)


def test_white_is_one_and_black_zero_unless_the_card_says_otherwise() -> None:
    white, black = (encoded(np.full((4, 5), value, np.uint8)) for value in (255, 0))

    found = fed(image_input(1, 4, 5), white, black)

    assert_array_equal(found[0], np.ones((1, 4, 5)))
    assert_array_equal(found[1], np.zeros((1, 4, 5)))
    assert_allclose(fed(image_input(1, 4, 5, scale=16 / 255), white), 16, rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_have_the_type_that_the_graph_wants(dtype: type[np.floating]) -> None:
    pixels = noise(4, 5)

    found = fed(image_input(1, 4, 5, dtype=dtype), encoded(pixels))

    assert found.dtype == dtype
    assert_allclose(found[0, 0], (pixels / 255).astype(dtype), rtol=1e-15)


def test_a_graph_of_bytes_gets_the_pixels_as_they_are() -> None:
    pixels = noise(4, 5, 3)

    found = fed(image_input(4, 5, 3, dtype=np.uint8), encoded(pixels))

    assert found.dtype == np.uint8
    assert_array_equal(found[0], pixels)


@pytest.mark.parametrize("keys", [{"scale": 1}, {"mean": [0.5]}, {"std": [2]}])
def test_a_graph_of_bytes_has_nothing_to_scale(keys: dict[str, Any]) -> None:
    with pytest.raises(CardInvalid, match=r"^input\.scale, input\.mean and input\.std are for floats; the graph takes"):
        image_input(4, 5, 3, dtype=np.uint8, **keys)


def test_numbers_that_the_type_cannot_hold_are_refused_at_load() -> None:
    with pytest.raises(CardInvalid, match="make numbers that float16 cannot hold"):
        image_input(1, 4, 5, dtype=np.float16, scale=300)


def test_bgr_is_rgb_turned_round_and_takes_its_means_in_its_own_order() -> None:
    content = encoded(noise(4, 5, 3))

    rgb = fed(image_input(3, 4, 5, mean=[1, 2, 3]), content)
    bgr = fed(image_input(3, 4, 5, mean=[3, 2, 1], color="bgr"), content)

    assert_array_equal(bgr, rgb[:, ::-1])


def test_layouts_hold_the_same_numbers() -> None:
    content = encoded(noise(4, 5, 3))
    first, last = (fed(image_input(*shape), content) for shape in ((3, 4, 5), (4, 5, 3)))
    flat_first, flat_last = (fed(image_input(60, size=[4, 5], layout=layout), content) for layout in ("nchw", "nhwc"))

    assert_array_equal(first.transpose(0, 2, 3, 1), last)
    assert_array_equal(flat_first, first.reshape(1, -1))
    assert_array_equal(flat_last, last.reshape(1, -1))


def test_flattened_pixels_are_those_that_scikit_learn_is_trained_on() -> None:
    pixels = noise(8, 8)

    assert_array_equal(fed(image_input(64, size=[8, 8], scale=1), encoded(pixels)), pixels.reshape(1, 64))
    assert_array_equal(fed(image_input(8, 8, scale=1), encoded(pixels)), pixels[None])


# Size.


@pytest.mark.parametrize("resample", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("side", [1, 3, 100])
def test_an_image_is_stretched_as_pillow_does_it(resample: str, side: int) -> None:
    content = encoded(noise(side, 2 * side, 3))
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(image.resize((5, 4), Image.Resampling[resample.upper()]))

    found = fed(image_input(4, 5, 3, dtype=np.uint8, resample=resample), content)

    assert_array_equal(found[0], expected)


def test_shrinking_is_smooth() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))

    found = fed(image_input(1, 8, 8, dtype=np.uint8), encoded(stripes))

    assert np.abs(found.astype(int) - 128).max() <= 6


@pytest.mark.parametrize(("height", "width"), [(6, 18), (18, 6), (6, 6)])
def test_a_crop_is_the_centre_of_the_image_shrunk_to_cover_the_graphs_size(height: int, width: int) -> None:
    pixels = noise(height, width)
    top, left = (height // 2 - 3) // 2, (width // 2 - 3) // 2

    found = fed(image_input(3, 3, dtype=np.uint8, fit="crop"), encoded(pixels))

    covering = Image.fromarray(pixels).resize((width // 2, height // 2), Image.Resampling.BILINEAR)
    assert_array_equal(found[0], np.asarray(covering)[top : top + 3, left : left + 3])


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (1, MAX_SIDE), (MAX_SIDE, 1)])
@pytest.mark.parametrize("fit", ["stretch", "crop"])
@pytest.mark.parametrize("resample", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("wanted", [(8, 8), (1, 300), (300, 1)])
def test_an_image_of_any_proportions_fits(size: tuple[int, int], fit: str, resample: str, wanted: Any) -> None:
    source = image_input(1, *wanted, layout="nchw", fit=fit, resample=resample)

    found = fed(source, encoded(np.full(size, 255, np.uint8)))

    assert_array_equal(found, np.ones((1, 1, *wanted)))


# Files of every sort.


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("color", [False, True])
def test_every_sort_of_png_is_what_pillow_makes_of_it(mode: str, color: bool) -> None:
    content = encoded(Image.fromarray(noise(4, 5, 4)).convert(mode))

    wanted = decoded(content, "RGB" if color else "L").reshape(4, 5, -1)
    assert_array_equal(raw(content, color=color), wanted.transpose(2, 0, 1))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30, "subsampling": 2}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("color", [False, True])
def test_every_sort_of_jpeg_is_what_pillow_makes_of_it(options: dict[str, Any], mode: str, color: bool) -> None:
    content = encoded(Image.fromarray(noise(4, 5, 3)).convert(mode), "JPEG", **options)

    rgb = Image.fromarray(decoded(content, "RGB"))
    wanted = np.asarray(rgb if color else rgb.convert("L")).reshape(4, 5, -1)
    if mode == "L":
        wanted = decoded(content, "RGB" if color else "L").reshape(4, 5, -1)
    assert_array_equal(raw(content, color=color), wanted.transpose(2, 0, 1))


def test_transparency_is_dropped_and_not_blended() -> None:
    colors = noise(4, 5, 3)
    alpha = noise(4, 5, 1, seed=1)

    found = raw(encoded(np.concatenate([colors, alpha], axis=2)), color=True)

    assert_array_equal(found, colors.transpose(2, 0, 1))


def test_a_palette_with_transparency_is_its_colours() -> None:
    palette = chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60]))
    rows = chunk(b"IDAT", zlib.compress((b"\x00" + bytes([0, 1, 0, 1, 1])) * 4))

    found = raw(png(header(5, 4, color=PALETTE), palette, chunk(b"tRNS", b"\x00\x80"), rows), color=True)

    assert found[:, 0, 0].tolist() == [10, 20, 30]
    assert found[:, 0, 1].tolist() == [40, 50, 60]


def test_of_an_animation_the_first_picture_counts() -> None:
    frames = [Image.fromarray(noise(4, 5, 3, seed=seed)) for seed in range(3)]
    content = encoded(frames[0], save_all=True, append_images=frames[1:])

    assert b"fdAT" in content
    assert_array_equal(raw(content, color=True), np.asarray(frames[0]).transpose(2, 0, 1))


def test_a_photo_marked_as_turned_is_not_turned() -> None:
    image = Image.fromarray(noise(4, 5, 3))
    exif = Image.Exif()
    exif[0x0112] = 6

    turned, plain = encoded(image, "JPEG", exif=exif), encoded(image, "JPEG")

    assert b"Exif" in turned
    assert_array_equal(raw(turned, color=True), raw(plain, color=True))
    assert_array_equal(raw(encoded(image, exif=exif), color=True), np.asarray(image).transpose(2, 0, 1))


@pytest.mark.parametrize("compressed", [False, True])
def test_metadata_of_any_size_is_left_alone(compressed: bool) -> None:
    pixels = noise(4, 5)
    info = PngImagePlugin.PngInfo()
    for number in range(80):
        info.add_text(f"key {number}", "\0" * 1_500_000 if compressed else "x" * 100, zip=compressed)

    assert_array_equal(raw(encoded(Image.fromarray(pixels), pnginfo=info))[0], pixels)


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"gAMA", b"pHYs", b"tRNS", b"acTL", b"fcTL"])
def test_broken_metadata_breaks_nothing(kind: bytes) -> None:
    first, *rest = parts(encoded(noise(4, 5)))

    assert_array_equal(raw(png(first, chunk(kind, b"\xff" * 7), *rest[:-1]))[0], noise(4, 5))


@pytest.mark.parametrize("marker", [0xE1, 0xE2, 0xED, 0xFE])
@pytest.mark.parametrize("name", [b"Exif\0\0", b"MPF\0MM\0*", b"ICC_PROFILE\0\1\2", b"Photoshop 3.0\0"])
def test_broken_metadata_of_a_photo_breaks_nothing(marker: int, name: bytes) -> None:
    content = encoded(noise(4, 5), "JPEG")

    assert_array_equal(raw(content[:2] + segment(marker, name + b"\xff" * 7) + content[2:]), raw(content))


def test_what_follows_the_end_of_a_photo_is_left_out() -> None:
    content = encoded(noise(4, 5), "JPEG")

    assert_array_equal(raw(content + b"\xff\xda" * 1000), raw(content))


# What a client may send.


def test_base64_a_data_url_and_the_file_itself_are_the_same() -> None:
    content = encoded(noise(4, 5))
    source = image_input(1, 4, 5)
    written = in_base64(content)

    rows = source.check([content, written, f"data:image/png;base64,{written}", f"DATA:IMAGE/SVG+XML;BASE64,{written}"])

    assert list(rows.values) == [content] * 4


@pytest.mark.parametrize(
    "text",
    [
        "!",
        "iVBO Rw0K",
        "iVBORw0K\n",
        "iVBORw0",
        "iVBORw0KG",
        "ä",
        "\ud800",
        "data:text/plain;base64,iVBO",
        "data:,",
        "-_",
    ],
)
def test_what_is_not_base64_is_named_and_not_repeated(text: str) -> None:
    source = image_input(1, 4, 5)
    with pytest.raises(ImageInvalid, match=r"^Expected images in padded base64 .*; row 1 differs\.$") as caught:
        source.check([encoded(noise(4, 5)), text])

    assert text not in str(caught.value) or len(text) == 1


@pytest.mark.parametrize("value", [5, None, ["a"], {"a": 1}])
def test_a_row_that_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(ImageInvalid, match=r"^Expected an image in base64 in each row; row 0 has none\.$"):
        image_input(1, 4, 5).check([value])


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO"])
def test_other_formats_are_refused_by_what_they_hold(kind: str) -> None:
    content = encoded(Image.fromarray(noise(16, 16, 3)), kind)

    with pytest.raises(ImageInvalid, match=OTHER_FORMAT):
        image_input(1, 4, 5).check([f"data:image/png;base64,{in_base64(content)}"])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"<svg/>",
        encoded(noise(4, 5))[:32],
        encoded(noise(4, 5), "JPEG")[:100],
        b"\xff\xd8" + segment(0xC0, b"\x08\x00\x04\x00\x03"),
        b"\xff\xd8" + segment(0xE0, b"") * MAX_SEGMENTS + encoded(noise(4, 5), "JPEG")[2:],
        b"\xff\xd8" + b"\xff" * 1_000_000,
    ],
)
def test_a_file_without_a_size_is_refused(content: bytes) -> None:
    with pytest.raises(ImageInvalid, match=OTHER_FORMAT):
        image_input(1, 4, 5).check([content])


@pytest.mark.parametrize("color", [GREY, RGB])
def test_sixteen_bits_per_channel_are_refused(color: int) -> None:
    with pytest.raises(ImageInvalid, match=r"^Expected images of at most 8 bits per channel; row 0 has 16\.$"):
        image_input(1, 4, 5).check([png(header(5, 4, bits=16, color=color))])
    deep = encoded(Image.fromarray(np.full((4, 5), 40_000, np.uint16)))
    with pytest.raises(ImageInvalid, match="row 0 has 16"):
        image_input(1, 4, 5).check([deep])


def test_twelve_bits_of_a_jpeg_are_refused() -> None:
    with pytest.raises(ImageInvalid, match="row 0 has 12"):
        image_input(1, 4, 5).check([b"\xff\xd8" + segment(0xC1, b"\x0c\0\4\0\3\1\1\x11\0")])


@pytest.mark.parametrize(("width", "height"), [(0, 4), (4, 0)])
def test_an_image_without_a_pixel_is_refused(width: int, height: int) -> None:
    frame = b"\x08" + height.to_bytes(2) + width.to_bytes(2) + b"\1\1\x11\0"
    for content in (png(header(width, height)), b"\xff\xd8" + segment(0xC0, frame)):
        with pytest.raises(ImageInvalid, match=rf"at least one pixel; row 0 has {width} x {height}\.$"):
            image_input(1, 4, 5).check([content])


@pytest.mark.parametrize(("width", "height"), [(4097, 4096), (30_000, 30_000), (2**31 - 1, 2**31 - 1), (65_536, 1)])
def test_an_image_above_the_limits_is_refused_before_it_is_decoded(width: int, height: int) -> None:
    wanted = rf"^Expected images of at most {MAX_PIXELS} pixels and {MAX_SIDE} a side; row 0 has {width} x {height}\.$"
    with pytest.raises(ImageTooLarge, match=wanted):
        image_input(1, 4, 5).check([png(header(width, height))])


def test_a_whole_bomb_is_refused_and_the_largest_image_is_not() -> None:
    source = image_input(1, 4, 5)

    with pytest.raises(ImageTooLarge):
        source.check([bomb()])
    assert_array_equal(fed(source, bomb(4096)), np.zeros((1, 1, 4, 5)))


def test_many_that_are_each_within_the_limits_are_refused_together() -> None:
    source, content = image_input(1, 4, 5), bomb(4096)

    source.check([content])
    source.check([encoded(noise(500, 500))] * 1000)
    with pytest.raises(
        ImageTooLarge, match=rf"^Expected at most {MAX_PIXELS} .*; got {2 * MAX_PIXELS} in {2 * len(content)} "
    ):
        source.check([content] * 2)
    assert PIXELS_PER_BYTE * 2 * len(content) < MAX_PIXELS


def test_a_jpeg_that_says_it_is_huge_is_refused() -> None:
    frame = b"\x08" + b"\xff\xff" * 2 + b"\1\1\x11\0"
    with pytest.raises(ImageTooLarge, match="row 0 has 65535 x 65535"):
        image_input(1, 4, 5).check([b"\xff\xd8" + segment(0xC2, frame)])


def test_a_size_said_twice_is_refused() -> None:
    first, *rest = parts(encoded(noise(4, 5)))
    jpeg = encoded(noise(4, 5), "JPEG")
    frame = segment(0xC0, b"\x08" + b"\xff\xff" * 2 + b"\1\1\x11\0")
    place = jpeg.index(b"\xff\xc0")

    for content in (png(first, header(30_000, 30_000), *rest[:-1]), jpeg[:place] + jpeg[place : place + 13] + frame):
        with pytest.raises(ImageInvalid, match=WHOLE_FILE):
            fed(image_input(1, 4, 5), content)
    twice = jpeg[: place + 13] + frame + jpeg[place + 13 :]
    with pytest.raises(ImageInvalid, match=WHOLE_FILE):
        fed(image_input(1, 4, 5), twice)


def test_scans_that_only_cost_time_are_refused() -> None:
    content = encoded(noise(40, 30), "JPEG", progressive=True)
    scan = content[content.rindex(b"\xff\xda") : -2]
    n_scans = content.count(b"\xff\xda")

    assert 1 < n_scans < MAX_SCANS
    fed(image_input(1, 4, 5), content[:-2] + scan * (MAX_SCANS - n_scans) + content[-2:])
    with pytest.raises(ImageInvalid, match=rf"^Expected JPEG images of at most {MAX_SCANS} scans; one has more\.$"):
        fed(image_input(1, 4, 5), content[:-2] + scan * (MAX_SCANS - n_scans + 1) + content[-2:])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_file_cut_off_anywhere_is_refused(kind: str) -> None:
    content = encoded(noise(16, 16, 3), kind)
    source = image_input(3, 4, 4)

    for length in range(len(content)):
        with pytest.raises(ImageInvalid):
            fed(source, content[:length])


def test_a_png_with_any_bit_of_its_pixels_flipped_is_refused() -> None:
    content = encoded(noise(4, 5))
    start, stop = content.index(b"IDAT"), content.index(b"IEND") - 4

    for place in range(start, stop):
        broken = bytearray(content)
        broken[place] ^= 1
        with pytest.raises(ImageInvalid):
            fed(image_input(1, 4, 5), bytes(broken))


@pytest.mark.parametrize(
    "rows", [b"", b"no zlib", zlib.compress(b""), zlib.compress(b"\x00\x01\x02"), zlib.compress(b"\x09" * 24)]
)
def test_pixels_that_do_not_decode_are_refused(rows: bytes) -> None:
    with pytest.raises(ImageInvalid, match=WHOLE_FILE):
        fed(image_input(1, 4, 5), png(header(5, 4), chunk(b"IDAT", rows)))


def test_mutated_files_are_answered_or_refused_and_nothing_else() -> None:
    draw = np.random.default_rng(0)
    image = Image.fromarray(noise(20, 15, 4))
    seeds = [encoded(image.convert(mode)) for mode in ("RGBA", "P", "1")]
    seeds += [encoded(image.convert(mode), "JPEG", progressive=mode == "RGB") for mode in ("RGB", "CMYK", "L")]
    source = image_input(3, 4, 4)

    refused = 0
    for number in range(2000):
        content = bytearray(seeds[number % len(seeds)])
        for place in draw.integers(0, len(content), draw.integers(1, 8)):
            content[place] = draw.integers(0, 256)
        try:
            assert np.isfinite(fed(source, bytes(content))).all()
        except (ImageInvalid, ImageTooLarge):
            refused += 1

    assert 0 < refused < 2000


# Made-up rows.


@pytest.mark.parametrize("shape", [(3, 224, 224), (8, 8), (1, 1)])
def test_samples_are_rows_that_a_client_could_send_no_two_alike(shape: tuple[int, ...]) -> None:
    source = image_input(*shape)

    samples = source.samples(16)

    assert len(set(samples)) == 16
    assert samples == source.samples(16)
    assert all(isinstance(row, str) for row in samples)
    assert source.feed(source.check(samples))["x"].shape == (16, *shape)


def test_a_row_is_the_same_alone_and_among_others() -> None:
    source = image_input(3, 8, 8)
    contents = [encoded(noise(9, 7, 3, seed=seed), kind) for seed in range(4) for kind in ("PNG", "JPEG")]

    together = fed(source, *contents)

    for row, content in enumerate(contents):
        assert_array_equal(fed(source, content)[0], together[row])
