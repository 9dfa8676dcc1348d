"""Decode images, within limits that are checked before anything is decoded (docs/adr/0006)."""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from imaging.errors import BadImage
from imaging.formats.bmp_bitfields import BitfieldsBmp, read_bitfields_header
from imaging.formats.jpeg import PlainJpeg, decode_plain_jpeg, read_plain_jpeg_header, require_whole
from imaging.formats.png_samples import is_deep_png, read_deep_png
from imaging.formats.tiff_samples import DeepTiff, read_deep_tiff_header
from imaging.limits import ImageLimits
from imaging.orientation import UPRIGHT, exif_orientation, is_transposed, upright
from imaging.pillow_warnings import suppress_pillow_warnings
from imaging.rgb import RgbImage
from imaging.samples import DeepSamples
from imaging.transparency import opaque

VERSION = "decoder 2"
"""Changes whenever the pixels of any image do, so that references are computed again."""

MIN_SIDE_PX = 8
"""Smaller images have nothing to inspect: a camera that sends them is broken."""

BYTES_PER_PIXEL = 3
DEEP_BYTES_PER_PIXEL = 12  # with the samples in 16 bits
READABLE_MODES = frozenset(
    ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "I;16", "I;16L", "I;16B")
)

# The plugins are called directly and not through Image.open, whose own pixel limit is a global of the process.
READERS: tuple[tuple[str, tuple[bytes, ...], type[ImageFile.ImageFile]], ...] = (
    ("image/jpeg", (b"\xff\xd8\xff",), JpegImagePlugin.JpegImageFile),
    ("image/png", (b"\x89PNG\r\n\x1a\n",), PngImagePlugin.PngImageFile),
    ("image/bmp", (b"BM",), BmpImagePlugin.BmpImageFile),
    ("image/tiff", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImagePlugin.TiffImageFile),
    ("image/webp", (b"RIFF",), WebPImagePlugin.WebPImageFile),
)

TargetSize = Callable[[int, int], tuple[int, int]]
"""Returns, for the height and width of an image, the height and width that are needed of it."""


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """The pixels of an image, and what its bytes are, whatever the message called them.

    `largest_sample` is that of an image whose words have 16 bits and that does not say how many of them are used: what
    a station's bit depth is learnt from. It is None for any other.
    """

    pixels: RgbImage
    content_type: str
    largest_sample: int | None = None


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An image whose header was read and found within the limits; none of its pixels is decoded.

    `height` and `width` are those of the stored image, before it is turned. `source` is what its pixels are read from.
    """

    data: bytes
    content_type: str
    height: int
    width: int
    source: PlainJpeg | BitfieldsBmp | DeepTiff | ImageFile.ImageFile

    @property
    def is_deep(self) -> bool:
        """Whether a sample takes more than 8 bits."""
        return isinstance(self.source, DeepTiff) or (self.content_type == "image/png" and is_deep_png(self.data))

    @property
    def decoded_bytes(self) -> int:
        """Bytes that the whole image will take when it is decoded."""
        return self.width * self.height * (DEEP_BYTES_PER_PIXEL if self.is_deep else BYTES_PER_PIXEL)

    def decode(
        self, target_size: TargetSize | None = None, bit_depth: int | None = None, *, preview: bool = False
    ) -> DecodedImage:
        """Decode the image, upright; only once, because it reads the image to its end.

        The orientation of EXIF, else of XMP, is applied. Transparency is composited on white, unless it hides the whole
        picture. Of samples of more than 8 bits, the upper 8 of those that the camera fills are kept.

        Args:
            target_size: A JPEG is decoded at ½, ¼ or ⅛ of its size where that is not below this (libjpeg's scaled
                inverse transform: many times faster, and it averages); without it, at full size.
            bit_depth: Bits that the camera fills of words of 16, 8 to 16; None for all 16. A file that says it itself
                is taken at its word.
            preview: Whether an image of 8 bits that is no JPEG is averaged down towards `target_size` too, before
                anything else is made of it: a picture of 100 million pixels then takes a third of the memory. It is
                for the screen; the scorer sees every pixel.

        Raises:
            BadImage: ``several-pictures``, ``unsupported-pixels``, ``exceeds-bit-depth`` or ``corrupt-image``; nothing
                else is raised.
        """
        if isinstance(self.source, PlainJpeg):
            pixels = _plain_jpeg(self.data, self.source, target_size)
            if pixels is not None:
                return DecodedImage(pixels, self.content_type)
        with suppress_pillow_warnings():
            try:
                return self._decode(target_size, bit_depth, preview)
            except BadImage:
                raise
            except Exception as error:  # decoders raise whatever they trip over in hostile bytes
                raise BadImage(
                    "corrupt-image", f"The {self.content_type} image can't be decoded: {_brief(error)}."
                ) from error

    def _decode(self, target_size: TargetSize | None, bit_depth: int | None, preview: bool) -> DecodedImage:
        source = self.source
        if isinstance(source, BitfieldsBmp):
            return DecodedImage(source.read(), self.content_type)
        if isinstance(source, DeepTiff):
            return _deep(source.read(), source.orientation, self.content_type, bit_depth)
        if self.content_type == "image/jpeg":
            source = _read(require_whole(self.data), *_reader(self.data))
        assert isinstance(source, ImageFile.ImageFile)
        _require_one_picture(source, self.content_type)
        if isinstance(source, PngImagePlugin.PngImageFile) and is_deep_png(self.data):
            samples = read_deep_png(self.data, source)
            return _deep(samples, exif_orientation(source) or UPRIGHT, self.content_type, bit_depth)
        return DecodedImage(_by_pillow(source, target_size, preview=preview), self.content_type)


def open_image(data: bytes, limits: ImageLimits) -> OpenedImage:
    """Read an image's header; safe from any thread.

    Raises:
        BadImage: ``empty-image``, ``too-many-bytes``, ``not-an-image``, ``several-pictures``, ``too-many-pixels``,
            ``too-few-pixels`` or ``corrupt-image``; nothing else is raised.
    """
    _check_bytes(data, limits)
    if (jpeg := read_plain_jpeg_header(data)) is not None:
        return _checked(OpenedImage(data, "image/jpeg", jpeg.height, jpeg.width, jpeg), limits)
    with suppress_pillow_warnings():
        content_type, reader = _reader(data)
        if content_type == "image/webp":  # its reader allocates the whole canvas when it is opened
            _check_size(*_webp_size(data), limits)
        source = _own_reader(data, content_type) or _read(data, content_type, reader)
        return _checked(OpenedImage(data, content_type, source.height, source.width, source), limits)


def decode(
    data: bytes, limits: ImageLimits, target_size: TargetSize | None = None, bit_depth: int | None = None
) -> DecodedImage:
    """Open and decode an image: see `open_image` and `OpenedImage.decode`."""
    return open_image(data, limits).decode(target_size, bit_depth)


def pixels_of(image: Image.Image) -> RgbImage:
    """Return the pixels of an image that Pillow opened, upright, as `OpenedImage.decode` returns those of its file.

    Of samples of more than 8 bits all 16 are used.

    Raises:
        BadImage: ``unsupported-pixels``.
    """
    return _by_pillow(image, None)


def _checked(opened: OpenedImage, limits: ImageLimits) -> OpenedImage:
    _check_size(opened.width, opened.height, limits)
    return opened


def _own_reader(data: bytes, content_type: str) -> BitfieldsBmp | DeepTiff | None:
    if content_type == "image/bmp":
        return read_bitfields_header(data)
    return read_deep_tiff_header(data) if content_type == "image/tiff" else None


def _plain_jpeg(data: bytes, jpeg: PlainJpeg, target_size: TargetSize | None) -> RgbImage | None:
    """Decode without Pillow; None where Pillow has to."""
    size = target = jpeg.height, jpeg.width
    if target_size is not None:
        turned = is_transposed(jpeg.orientation)
        rows, columns = target_size(*(size[::-1] if turned else size))
        target = (columns, rows) if turned else (rows, columns)
    pixels = decode_plain_jpeg(data, size, target)
    return pixels if pixels is None or jpeg.orientation == UPRIGHT else upright(pixels, jpeg.orientation)


def _deep(samples: DeepSamples, orientation: int, content_type: str, bit_depth: int | None) -> DecodedImage:
    largest = samples.largest if samples.declared_depth is None else None
    return DecodedImage(upright(samples.rgb(bit_depth), orientation), content_type, largest)


def _check_bytes(data: bytes, limits: ImageLimits) -> None:
    if not data:
        raise BadImage("empty-image", "The frame's image has zero bytes; the camera or its driver sent nothing.")
    if len(data) > limits.max_bytes:
        raise BadImage(
            "too-many-bytes",
            f"The image has {len(data)} bytes and max_image_bytes is {limits.max_bytes}; raise it or send less.",
        )


def _read(data: bytes, content_type: str, reader: type[ImageFile.ImageFile]) -> ImageFile.ImageFile:
    """Read the header with Pillow."""
    try:
        image = reader(io.BytesIO(data))
        image.decodermaxblock = len(data)  # in one piece: the decoder acquires the GIL after each
        _ = image.size
    except Exception as error:  # readers raise whatever they trip over in hostile bytes
        raise BadImage("corrupt-image", f"The {content_type} header can't be read: {_brief(error)}.") from error
    return image


def _by_pillow(image: Image.Image, target_size: TargetSize | None, *, preview: bool = False) -> RgbImage:
    """Decode with Pillow; raises what it raises."""
    if image.mode not in READABLE_MODES:
        raise BadImage(
            "unsupported-pixels",
            f"The image has pixels of kind {image.mode!r}, whose range is unknown; send 8 or 16 bits a channel.",
        )
    if image.format == "JPEG" and target_size is not None:
        _scale_down(image, target_size, is_transposed(exif_orientation(image) or UPRIGHT))
    stated = exif_orientation(image) or UPRIGHT
    is_premultiplied = isinstance(image, TiffImagePlugin.TiffImageFile) and _leave_premultiplied(image)
    image.load()
    if image.format == "TIFF" and exif_orientation(image) is None:
        stated = UPRIGHT  # its reader has turned it, and removed the tag
    if preview and target_size is not None:
        image = _averaged_down(image, target_size, is_transposed(stated))
    return upright(_rgb(image, is_premultiplied=is_premultiplied), stated)


def _require_one_picture(image: ImageFile.ImageFile, content_type: str) -> None:
    if (images := _image_count(image, content_type)) > 1:
        raise BadImage(
            "several-pictures",
            f"The file holds {images} images (an animation or several pages), and which of them shows the "
            "part is unknown; send each as a frame of its own.",
        )


def _image_count(image: ImageFile.ImageFile, content_type: str) -> int:
    """Return the number of images in a file; those of a TIFF are counted by reading the header of each."""
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception as error:  # as above
        raise BadImage("corrupt-image", f"The {content_type} image's pages can't be read: {_brief(error)}.") from error


def _reader(data: bytes) -> tuple[str, type[ImageFile.ImageFile]]:
    for content_type, signatures, reader in READERS:
        if data.startswith(signatures) and (content_type != "image/webp" or data[8:12] == b"WEBP"):
            return content_type, reader
    raise BadImage(
        "not-an-image",
        f"The image begins with {data[:8]!r}, which is none of JPEG, PNG, TIFF, BMP and WebP.",
    )


def _check_size(width: int, height: int, limits: ImageLimits) -> None:
    if width * height > limits.max_pixels:
        raise BadImage(
            "too-many-pixels",
            f"The image is {width} × {height} pixels and max_image_pixels is {limits.max_pixels}; "
            "send less or raise it.",
        )
    if min(width, height) < MIN_SIDE_PX:
        raise BadImage(
            "too-few-pixels",
            f"The image is {width} × {height} pixels; below {MIN_SIDE_PX} on a side there is nothing to inspect.",
        )


def _webp_size(data: bytes) -> tuple[int, int]:
    """Return width and height from the first chunk (RFC 9649, sections 2.5 to 2.7)."""
    chunk, head = data[12:16], data[20:30]
    if chunk == b"VP8X" and len(head) == 10:
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if chunk == b"VP8L" and len(head) >= 5:
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 " and len(head) == 10:
        width, height = struct.unpack_from("<HH", head, 6)
        return width & 0x3FFF, height & 0x3FFF
    raise BadImage("corrupt-image", "The image/webp header can't be read: it has no picture chunk.")


def _scale_down(image: Image.Image, target_size: TargetSize, is_transposed: bool) -> None:
    width, height = image.size
    rows, columns = target_size(width, height) if is_transposed else target_size(height, width)
    image.draft(None, (rows, columns) if is_transposed else (columns, rows))


def _averaged_down(image: Image.Image, target_size: TargetSize, is_transposed: bool) -> Image.Image:
    """Return the image averaged over squares, not below the target; one with a key colour stays as it is."""
    width, height = image.size
    rows, columns = target_size(width, height) if is_transposed else target_size(height, width)
    target_width, target_height = (rows, columns) if is_transposed else (columns, rows)
    factor = min(width // max(1, target_width), height // max(1, target_height))
    if factor < 2 or "transparency" in image.info or image.mode not in {"1", "L", "P", "RGB", "RGBA", "CMYK"}:
        return image
    if image.mode in {"1", "P"}:
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image.reduce(factor)


def _leave_premultiplied(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Have a TIFF with premultiplied colours read as it is, and return whether it is one.

    Pillow divides the colours by alpha as it unpacks them, and drops them where alpha is 0.
    """
    modes = [tile.args[0] if isinstance(tile.args, tuple) else tile.args for tile in image.tile]
    if not modes or not all(isinstance(mode, str) and mode.startswith("RGBa") for mode in modes):
        return False
    image.tile = [
        tile._replace(args=(str(mode).replace("RGBa", "RGBA"), *tile.args[1:]))
        for mode, tile in zip(modes, image.tile, strict=True)
        if isinstance(tile.args, tuple)
    ]
    return True


def _rgb(image: Image.Image, *, is_premultiplied: bool = False) -> RgbImage:
    if image.mode.startswith("I;16"):
        return DeepSamples(np.asarray(image).astype(np.uint16)[:, :, None]).rgb(None)
    if image.mode in ("La", "RGBa"):
        return opaque(np.asarray(image), is_premultiplied=True)
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA"):
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        return opaque(np.asarray(rgba), is_premultiplied=is_premultiplied)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _brief(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().rstrip(".").splitlines()[0][:200]
