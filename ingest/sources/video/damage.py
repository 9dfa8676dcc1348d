"""Which frames of a video show what the camera saw, after a part of the stream was damaged."""

from typing import TypeAlias

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

VideoPacket: TypeAlias = "Packet[VideoStream]"


class DamageTracker:
    """Follows the packets of a stream into its decoder and the frames out of it.

    A frame that could not be decoded leaves those after it damaged, because they are differences to it, until the next
    key frame. Frames leave the decoder in the order in which they are shown, which is not the order of their packets:
    one that is shown before the key frame is damaged even if it was decoded after it.
    """

    def __init__(self) -> None:
        """Start with a stream that is whole."""
        self._is_damaged = False
        self._key_packet: VideoPacket | None = None

    def failed(self) -> None:
        """Note that a packet could not be decoded, or is marked as incomplete."""
        self._is_damaged = True
        self._key_packet = None

    def decoded(self, packet: VideoPacket) -> None:
        """Note that a packet was decoded."""
        if packet.is_corrupt:
            self.failed()
        elif self._is_damaged and packet.is_keyframe and self._key_packet is None:
            self._key_packet = packet

    def is_damaged(self, frame: VideoFrame) -> bool:
        """Return whether a frame, the next in the order in which they are shown, is damaged."""
        if self._key_packet is not None and _is_from(frame, self._key_packet):
            self._is_damaged = False
            self._key_packet = None
        return self._is_damaged or frame.is_corrupt


def _is_from(frame: VideoFrame, key_packet: VideoPacket) -> bool:
    """Return whether a frame is that of a key packet, or is shown after it; streams may have no timestamps."""
    if frame.pts is None or key_packet.pts is None:
        return frame.key_frame
    return frame.pts >= key_packet.pts
