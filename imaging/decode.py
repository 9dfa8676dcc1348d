"""Decode images, within limits that are checked before anything is decoded (docs/adr/0006)."""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from imaging.errors import BadImage
from imaging.jpeg import decode_plain_jpeg, plain_jpeg_size
from imaging.limits import ImageLimits
from imaging.pillow_warnings import suppress_pillow_warnings
from imaging.rgb import RgbImage

MIN_SIDE_PX = 8
"""Smaller images have nothing to inspect: a camera that sends them is broken."""

BYTES_PER_PIXEL = 3
ORIENTATION_TAG = 0x0112
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
    """The pixels of an image, and the content type that its bytes have, whatever the message called them."""

    pixels: RgbImage
    content_type: str


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An image whose header was read and found within the limits; none of its pixels is decoded."""

    data: bytes
    content_type: str
    height: int
    width: int
    image: ImageFile.ImageFile | None
    """The image in Pillow; None for a plain JPEG, which needs no Pillow."""

    @property
    def decoded_bytes(self) -> int:
        """Bytes that the whole image will take when it is decoded."""
        return self.width * self.height * BYTES_PER_PIXEL

    def decode(self, target_size: TargetSize | None = None) -> DecodedImage:
        """Decode the image, upright; only once, because it reads the image to its end.

        16-bit grey keeps its upper 8 bits, transparency is composited on white, EXIF orientation is applied.

        Args:
            target_size: A JPEG is decoded at ½, ¼ or ⅛ of its size where that is not below this (libjpeg's scaled
                inverse transform: many times faster, and it averages); without it, at full size.

        Raises:
            BadImage: ``several-pictures``, ``unsupported-pixels`` or ``corrupt-image``; nothing else is raised.
        """
        if self.image is None:
            size = self.height, self.width
            pixels = decode_plain_jpeg(self.data, size, size if target_size is None else target_size(*size))
            if pixels is not None:
                return DecodedImage(pixels, self.content_type)
        with suppress_pillow_warnings():
            return _decoded(self.image or _read(self.data, *_reader(self.data)), self.content_type, target_size)


def open_image(data: bytes, limits: ImageLimits) -> OpenedImage:
    """Read an image's header; safe from any thread.

    Raises:
        BadImage: ``empty-image``, ``too-many-bytes``, ``not-an-image``, ``too-many-pixels``, ``too-few-pixels`` or
            ``corrupt-image``; nothing else is raised.
    """
    _check_bytes(data, limits)
    if (size := plain_jpeg_size(data)) is not None:
        _check_size(*size[::-1], limits)
        return OpenedImage(data, "image/jpeg", *size, image=None)
    with suppress_pillow_warnings():
        content_type, reader = _reader(data)
        if content_type == "image/webp":  # its reader allocates the whole canvas when it is opened
            _check_size(*_webp_size(data), limits)
        image = _read(data, content_type, reader)
        _check_size(*image.size, limits)
        return OpenedImage(data, content_type, image.height, image.width, image)


def decode(data: bytes, limits: ImageLimits, target_size: TargetSize | None = None) -> DecodedImage:
    """Open and decode an image: see `open_image` and `OpenedImage.decode`."""
    return open_image(data, limits).decode(target_size)


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


def _decoded(image: ImageFile.ImageFile, content_type: str, target_size: TargetSize | None) -> DecodedImage:
    """Decode with Pillow."""
    if (images := _image_count(image, content_type)) > 1:
        raise BadImage(
            "several-pictures",
            f"The file holds {images} images (an animation or several pages), and which of them shows the "
            "part is unknown; send each as a frame of its own.",
        )
    if image.mode not in READABLE_MODES:
        raise BadImage(
            "unsupported-pixels",
            f"The image has pixels of kind {image.mode!r}, whose range is unknown; send 8 or 16 bits a channel.",
        )
    try:
        orientation = _orientation(image)
        if target_size is not None and image.format == "JPEG":
            _scale_down(image, target_size, is_transposed=orientation >= 5)
        image.load()
        pixels = _upright(_rgb(image), orientation)
    except Exception as error:  # decoders raise whatever they trip over in hostile bytes
        raise BadImage("corrupt-image", f"The {content_type} image can't be decoded: {_brief(error)}.") from error
    return DecodedImage(np.ascontiguousarray(pixels), content_type)


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


def _orientation(image: ImageFile.ImageFile) -> int:
    """Return the EXIF orientation, 1 to 8; a TIFF's is applied by its reader, unreadable metadata count as upright."""
    if image.format == "TIFF":
        return 1
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OSError, struct.error):
        return 1  # the pixels are what is inspected, and they may be fine
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _scale_down(image: ImageFile.ImageFile, target_size: TargetSize, is_transposed: bool) -> None:
    width, height = image.size
    rows, columns = target_size(width, height) if is_transposed else target_size(height, width)
    image.draft(None, (rows, columns) if is_transposed else (columns, rows))


def _rgb(image: Image.Image) -> RgbImage:
    if image.mode.startswith("I;16"):
        # The file's bit depth decides and not the frame's brightest pixel, or scores would follow the lamp.
        grey = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        image = Image.alpha_composite(white, rgba)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _upright(pixels: RgbImage, orientation: int) -> RgbImage:
    """Undo an EXIF orientation (CIPA DC-008, tag 274)."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _brief(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().rstrip(".").splitlines()[0][:200]
