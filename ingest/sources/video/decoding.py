"""Pictures out of a video stream, as JPEG."""

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
    """One picture of a stream; `time_s` is where it stands in the stream, in seconds, None when the stream is silent.

    `content` is a JPEG as the camera made it, or a decoded frame that `jpeg` encodes only when somebody wants it.
    """

    content: bytes | VideoFrame
    time_s: float | None

    def jpeg(self) -> bytes:
        """The picture as JPEG: the camera's own, or encoded at quality 90."""
        if isinstance(self.content, bytes):
            return self.content
        encoded = io.BytesIO()
        image: Image.Image = self.content.to_image()  # type: ignore[no-untyped-call]
        image.save(encoded, "JPEG", quality=JPEG_QUALITY)
        return encoded.getvalue()


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The container's first video stream. Raises `SourceError` for one without."""
    if not container.streams.video:
        raise SourceError(f"{name} has no video stream in it.")
    stream = container.streams.video[0]
    stream.thread_type = "SLICE"  # frame threads would hold pictures back
    return stream


def stream_images(
    container: InputContainer, stream: VideoStream, on_corrupt: Callable[[], None]
) -> Iterator[StreamImage]:
    """Yield the stream's pictures; what can't be decoded goes to `on_corrupt` and the stream goes on.

    JPEGs of a Motion JPEG stream pass as they are. Raises `av.error.FFmpegError` when reading fails.
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
    """Some recorders leave the Huffman tables out; those pictures are decoded and encoded anew."""
    return content.startswith(START_OF_JPEG) and HUFFMAN_TABLE in content


def without_credentials(address: str) -> str:
    """The address fit for a log: user name and password left out."""
    parts = urlsplit(address)
    if "@" not in parts.netloc:
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def describe_error(error: av.error.FFmpegError) -> str:
    """What went wrong in a few plain words."""
    if isinstance(error, (av.error.ExitError, av.error.TimeoutError)):  # ours: the time for opening or reading is up
        return "nothing came in time"
    if isinstance(error, av.error.EOFError):
        return "the stream ended"
    if isinstance(error, av.error.DecoderNotFoundError):
        return "there is no decoder for its codec"
    return (error.strerror or "unknown error").rstrip(".")
