"""Gemini's generateContent, as Google's developer API and Vertex AI serve it: https://ai.google.dev/api/generate-content"""

from __future__ import annotations

from gateway.dialects.gemini_answer import decode_answer as decode_answer
from gateway.dialects.gemini_answer import stream_decoder as stream_decoder
from gateway.dialects.gemini_asked import decode_request as decode_request
from gateway.dialects.gemini_contents import SIGNED as SIGNED
from gateway.dialects.gemini_conversation import conversation as conversation
from gateway.dialects.gemini_faults import error_body as error_body
from gateway.dialects.gemini_faults import error_frame as error_frame
from gateway.dialects.gemini_passing import OPERATION as OPERATION
from gateway.dialects.gemini_passing import cleared as cleared
from gateway.dialects.gemini_passing import glimpse as glimpse
from gateway.dialects.gemini_passing import identity as identity
from gateway.dialects.gemini_passing import peek as peek
from gateway.dialects.gemini_passing import read_whole as read_whole
from gateway.dialects.gemini_passing import restamp as restamp
from gateway.dialects.gemini_passing import rewrite as rewrite
from gateway.dialects.gemini_passing import skim as skim
from gateway.dialects.gemini_passing import spoken as spoken
from gateway.dialects.gemini_passing import with_cost as with_cost
from gateway.dialects.gemini_planning import continuation as continuation
from gateway.dialects.gemini_planning import noted as noted
from gateway.dialects.gemini_planning import planning as planning
from gateway.dialects.gemini_planning import prepended as prepended
from gateway.dialects.gemini_request import encode_request as encode_request
from gateway.dialects.gemini_told import encode_answer as encode_answer
from gateway.dialects.gemini_told import stream_encoder as stream_encoder
from gateway.dialects.unresumed import without_usage as without_usage

NAME = "gemini"
FORMAT = NAME
RESUMES = True
CLOSING = b""
KEEPALIVE = b""
"""Nothing is harmless before the first event. On a comment Google's Python SDK fails, which takes all but ``data:`` for
JSON; on a blank line its older JavaScript SDK does, which wants every event to begin with ``data:``; and an event
without candidates makes the ``chats`` of both forget the turn."""
REFERS = ("gs://", "https://")
"""Cloud Storage, files given to Google, YouTube and, since January 2026, any public page:
https://ai.google.dev/gemini-api/docs/file-input-methods"""
