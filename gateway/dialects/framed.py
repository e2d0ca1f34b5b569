"""What decoders of event streams share: bytes cut into frames, and a frame too large told as a fault."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gateway.chat import ChatEvent, Failed
from gateway.errors import Fault, FaultKind
from gateway.sse import Frame, OversizedFrame, Splitter


class FramedDecoder(ABC):
    """One stream of server-sent events. What a frame means is for each dialect's ``read``."""

    def __init__(self) -> None:
        self._splitter = Splitter()

    def feed(self, chunk: bytes, now: float) -> list[ChatEvent]:
        try:
            frames = self._splitter.feed(chunk)
        except OversizedFrame as error:
            return [Failed(Fault(kind=FaultKind.GARBLED, message=str(error)))]
        return self.read(frames, now)

    def end(self, now: float) -> list[ChatEvent]:
        return self.read(self._splitter.end(), now)

    @abstractmethod
    def read(self, frames: list[Frame], now: float) -> list[ChatEvent]:
        """The events of whole frames; comments are among them."""
