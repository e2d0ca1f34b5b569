"""SageMaker's wrapping of a streamed answer: slices of the container's own stream, cut anywhere, in AWS's messages."""

from __future__ import annotations

from typing import Protocol

from gateway.dialects.faults import read_exception
from gateway.errors import Fault, FaultKind
from gateway.event_stream import Messages


class Unframer(Protocol):
    """The bytes of the wire in, the bytes of the dialect out. ``fault`` is set when the wire brings an error."""

    fault: Fault | None

    def feed(self, chunk: bytes, now: float, /) -> bytes: ...
    def end(self, now: float, /) -> bytes: ...


class PayloadParts:
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpointWithResponseStream.html"""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self._messages = Messages()

    def feed(self, chunk: bytes, now: float) -> bytes:
        out: list[bytes] = []
        for message in self._messages.feed(chunk):
            if message.headers.get(":message-type", "event") != "event":
                self.fault = self.fault or read_exception(message.headers, message.payload, now)
            elif message.headers.get(":event-type") == "PayloadPart":
                out.append(message.payload)
        self._look_for_problem()
        return b"".join(out)

    def end(self, now: float) -> bytes:
        self._messages.end()
        self._look_for_problem()
        return b""

    def _look_for_problem(self) -> None:
        if self._messages.problem and self.fault is None:
            self.fault = Fault(kind=FaultKind.GARBLED, message=self._messages.problem)
