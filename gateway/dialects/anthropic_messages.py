"""Anthropic's Messages, spoken by clients and to vendors: https://platform.claude.com/docs/en/api/messages"""

from __future__ import annotations

from gateway.dialects.anthropic_answer import Decoder as Decoder
from gateway.dialects.anthropic_answer import decode_answer as decode_answer
from gateway.dialects.anthropic_answer import stream_decoder as stream_decoder
from gateway.dialects.anthropic_asked import decode_request as decode_request
from gateway.dialects.anthropic_clearing import cleared as cleared
from gateway.dialects.anthropic_conversation import conversation as conversation
from gateway.dialects.anthropic_passing import CLOSING as CLOSING
from gateway.dialects.anthropic_passing import KEEPALIVE as KEEPALIVE
from gateway.dialects.anthropic_passing import OPERATION as OPERATION
from gateway.dialects.anthropic_passing import RESUMES as RESUMES
from gateway.dialects.anthropic_passing import error_body as error_body
from gateway.dialects.anthropic_passing import error_frame as error_frame
from gateway.dialects.anthropic_passing import glimpse as glimpse
from gateway.dialects.anthropic_passing import peek as peek
from gateway.dialects.anthropic_passing import read_whole as read_whole
from gateway.dialects.anthropic_passing import rewrite as rewrite
from gateway.dialects.anthropic_passing import skim as skim
from gateway.dialects.anthropic_passing import spoken as spoken
from gateway.dialects.anthropic_planning import noted as noted
from gateway.dialects.anthropic_planning import planning as planning
from gateway.dialects.anthropic_planning import prepended as prepended
from gateway.dialects.anthropic_request import encode_request as encode_request
from gateway.dialects.anthropic_told import encode_answer as encode_answer
from gateway.dialects.anthropic_told import stream_encoder as stream_encoder
from gateway.dialects.anthropic_turns import SIGNED as SIGNED
from gateway.dialects.money import with_cost as with_cost
from gateway.dialects.unresumed import continuation as continuation
from gateway.dialects.unresumed import identity as identity
from gateway.dialects.unresumed import restamp as restamp
from gateway.dialects.unresumed import without_usage as without_usage

NAME = "anthropic_messages"
FORMAT = NAME
REFERS = ("https://", "http://")
