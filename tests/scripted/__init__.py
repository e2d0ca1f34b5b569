"""A vendor that does as it is told, over real sockets: every answer and every fault, recorded and counted."""

from .agent import agent_story
from .dead_ends import hanging, refusing
from .faults import (
    BROKEN,
    FAULTS,
    HARMLESS,
    HIDDEN,
    HINTS,
    RETRY_AFTER,
    TEXT,
    TOOLS,
    content_filtered,
    context_too_long,
    error_as_200,
    fault,
    html_as_200,
    named,
    out_of_credit,
    policy_refused,
    rate_limited,
)
from .received import Aborted, Received
from .steps import (
    Answer,
    Close,
    Die,
    DoubleDone,
    Framing,
    InBandError,
    Malformed,
    Named,
    NoDone,
    NoFinish,
    Raw,
    Reply,
    Reset,
    Silent,
    Slow,
    Status,
    Step,
    ToolCall,
    play,
)
from .vendor import ScriptedVendor

__all__ = [
    "BROKEN", "FAULTS", "HARMLESS", "HIDDEN", "HINTS", "RETRY_AFTER", "TEXT", "TOOLS",
    "Aborted", "Answer", "Close", "Die", "DoubleDone", "Framing", "InBandError", "Malformed", "Named", "NoDone",
    "NoFinish", "Raw", "Received", "Reply", "Reset", "ScriptedVendor", "Silent", "Slow", "Status", "Step", "ToolCall",
    "agent_story", "content_filtered", "context_too_long", "error_as_200", "fault", "hanging", "html_as_200", "named",
    "out_of_credit", "play", "policy_refused", "rate_limited", "refusing",
]  # fmt: skip
