"""The frames of a video stream, as JPEG."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import av
import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from ingest.errors import SourceError

JPEG_QUALITY = 90
START_OF_JPEG = b"\xff\xd8"
HUFFMAN_TABLE = b"\xff\xc4"


@dataclass(frozen=True, slots=True)
class StreamImage:
    """One frame of a stream, encoded as JPEG on demand.

    `content` is a JPEG as the camera made it, or a decoded frame. `time_s` is its timestamp in the stream, in seconds,
    or None when the stream has no timestamps.
    """

    content: bytes | VideoFrame
    time_s: float | None

    def jpeg(self) -> bytes:
        """Return the frame as JPEG: the camera's own, or encoded at quality 90."""
        if isinstance(self.content, bytes):
            return self.content
        encoded = io.BytesIO()
        image: Image.Image = self.content.to_image()  # type: ignore[no-untyped-call]
        image.save(encoded, "JPEG", quality=JPEG_QUALITY)
        return encoded.getvalue()


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """Return the container's first video stream; raise `SourceError` for one without video."""
    if not container.streams.video:
        raise SourceError(f"{name} has no video stream.")
    stream = container.streams.video[0]
    stream.thread_type = "SLICE"  # threads that decode whole frames would delay each
    return stream


def stream_images(
    container: InputContainer, stream: VideoStream, on_corrupt: Callable[[], None]
) -> Iterator[StreamImage]:
    """Yield the stream's frames; call `on_corrupt` for each that can't be decoded, and continue.

    JPEGs of a Motion JPEG stream are yielded as they are.

    Raises:
        av.error.FFmpegError: Reading fails.
    """
    passes_jpeg = stream.codec_context.name == "mjpeg"
    for packet in container.demux(stream):
        if passes_jpeg and packet.size and _is_whole_jpeg(content := bytes(packet)):
            time_s = None if packet.pts is None or packet.time_base is None else float(packet.pts * packet.time_base)
            yield StreamImage(content, time_s)
            continue
        try:
            frames = stream.decode(packet)
        except av.error.InvalidDataError:
            on_corrupt()
            continue
        for frame in frames:
            if frame.is_corrupt:
                on_corrupt()
            else:
                yield StreamImage(frame, frame.time)


def _is_whole_jpeg(content: bytes) -> bool:
    """Return whether a JPEG has its Huffman tables; without them, as some recorders write it, it is encoded again."""
    return content.startswith(START_OF_JPEG) and HUFFMAN_TABLE in content


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
