"""The frames of a video stream, as JPEG."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import av
import av.error
from av.codec.context import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from ingest.errors import SourceError
from ingest.sources.video.damage import DamageTracker, VideoPacket
from ingest.sources.video.orientation import UPRIGHT, Orientation, frame_orientation

DAMAGED = "damaged"
"""The code of a picture that is not what the camera saw; `imaging.quality.picture_problem` explains it."""

JPEG_QUALITY = 90
START_OF_JPEG = b"\xff\xd8"
HUFFMAN_TABLE = b"\xff\xc4"

STRICT_DECODING = {"threads": "1", "err_detect": "explode"}
"""FFmpeg's options that make it report damage instead of concealing it. With several threads it reports nothing."""


@dataclass(frozen=True, slots=True)
class StreamImage:
    """One frame of a stream, encoded as JPEG on demand.

    Attributes:
        content: A JPEG as the camera made it, or a decoded frame.
        time_s: Its timestamp in the stream, in seconds; None when the stream has no timestamps.
        orientation: How a decoded frame is brought upright.
        is_damaged: Whether the decoder marked the frame, or it depends on one that could not be decoded: what it shows
            is not what the camera saw.
    """

    content: bytes | VideoFrame
    time_s: float | None
    orientation: Orientation = UPRIGHT
    is_damaged: bool = False

    @property
    def picture_problem(self) -> str | None:
        """The code with which a frame of this image is marked as a bad picture; None for one that is whole."""
        return DAMAGED if self.is_damaged else None

    def jpeg(self) -> bytes:
        """Return the frame as JPEG: the camera's own, or encoded upright at quality 90."""
        if isinstance(self.content, bytes):
            return self.content
        encoded = io.BytesIO()
        image: Image.Image = self.content.to_image()  # type: ignore[no-untyped-call]
        self.orientation.apply(image).save(encoded, "JPEG", quality=JPEG_QUALITY)
        return encoded.getvalue()


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """Return the container's first video stream, set to report damage; raise `SourceError` for one without video."""
    if not container.streams.video:
        raise SourceError(f"{name} has no video stream.")
    stream = container.streams.video[0]
    stream.codec_context.options = STRICT_DECODING
    return stream


def stream_images(
    container: InputContainer, stream: VideoStream, on_corrupt: Callable[[], None]
) -> Iterator[StreamImage]:
    """Yield the stream's frames; call `on_corrupt` for each that can't be decoded, and continue.

    Frames that follow such a one are marked as damaged up to the next key frame, because they are differences to a
    frame that is missing. JPEGs of a Motion JPEG stream are yielded as they are, unless they have to be turned.

    Raises:
        av.error.FFmpegError: Reading fails.
    """
    is_mjpeg = stream.codec_context.name == "mjpeg"
    orientation: Orientation | None = None
    damage = DamageTracker()
    for packet in container.demux(stream):
        if is_mjpeg and orientation == UPRIGHT and is_whole_jpeg(packet):
            yield StreamImage(bytes(packet), _time_s(packet), is_damaged=packet.is_corrupt)
            continue
        try:
            frames = stream.decode(packet)
        except av.error.InvalidDataError:
            damage.failed()
            on_corrupt()
            continue
        damage.decoded(packet)
        for frame in frames:
            orientation = frame_orientation(frame)
            passes = is_mjpeg and orientation == UPRIGHT and is_whole_jpeg(packet)
            yield StreamImage(bytes(packet) if passes else frame, frame.time, orientation, damage.is_damaged(frame))


def jpeg_image(content: bytes) -> StreamImage | None:
    """Return a JPEG that came by itself as an image without timestamp; None for bytes that are no JPEG."""
    if not content.startswith(START_OF_JPEG):
        return None
    if is_whole_jpeg(content):
        return StreamImage(content, None)
    decoder = CodecContext.create("mjpeg", "r")
    assert isinstance(decoder, VideoCodecContext)
    try:
        return next((StreamImage(frame, None) for frame in decoder.decode(Packet(content))), None)
    except av.error.InvalidDataError:
        return None


def is_whole_jpeg(content: "VideoPacket | bytes") -> bool:
    """Return whether a JPEG has its Huffman tables; without them, as some recorders write it, it is encoded again."""
    written = bytes(content)
    return written.startswith(START_OF_JPEG) and HUFFMAN_TABLE in written


def _time_s(packet: VideoPacket) -> float | None:
    return None if packet.pts is None or packet.time_base is None else float(packet.pts * packet.time_base)


def without_credentials(address: str) -> str:
    """Return the address without user name and password, fit for a log."""
    parts = urlsplit(address)
    if "@" not in parts.netloc:
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def describe_error(error: av.error.FFmpegError) -> str:
    """Return the reason why FFmpeg failed, as a short text."""
    if isinstance(error, (av.error.ExitError, av.error.TimeoutError)):  # our time limit for opening or reading
        return "no data arrived in time"
    if isinstance(error, av.error.EOFError):
        return "the stream ended"
    if isinstance(error, av.error.DecoderNotFoundError):
        return "there is no decoder for its codec"
    return (error.strerror or "unknown error").rstrip(".")
