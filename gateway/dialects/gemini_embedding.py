"""Gemini's embeddings, one at a time (``:embedContent``): https://ai.google.dev/api/embeddings"""

from __future__ import annotations

import msgspec

from gateway.dialects.gemini_embeddings import CLOSING as CLOSING
from gateway.dialects.gemini_embeddings import KEEPALIVE as KEEPALIVE
from gateway.dialects.gemini_embeddings import OPERATION as OPERATION
from gateway.dialects.gemini_embeddings import RESUMES as RESUMES
from gateway.dialects.gemini_embeddings import cleared as cleared
from gateway.dialects.gemini_embeddings import continuation as continuation
from gateway.dialects.gemini_embeddings import conversation as conversation
from gateway.dialects.gemini_embeddings import decode_request as decode_request
from gateway.dialects.gemini_embeddings import error_body as error_body
from gateway.dialects.gemini_embeddings import error_frame as error_frame
from gateway.dialects.gemini_embeddings import glimpse as glimpse
from gateway.dialects.gemini_embeddings import identity as identity
from gateway.dialects.gemini_embeddings import noted as noted
from gateway.dialects.gemini_embeddings import peek as peek
from gateway.dialects.gemini_embeddings import planning as planning
from gateway.dialects.gemini_embeddings import prepended as prepended
from gateway.dialects.gemini_embeddings import read_whole as read_whole
from gateway.dialects.gemini_embeddings import restamp as restamp
from gateway.dialects.gemini_embeddings import rewrite as rewrite
from gateway.dialects.gemini_embeddings import skim as skim
from gateway.dialects.gemini_embeddings import spoken as spoken
from gateway.dialects.gemini_embeddings import usage_of
from gateway.dialects.gemini_embeddings import with_cost as with_cost
from gateway.dialects.gemini_embeddings import without_usage as without_usage
from gateway.embedding import EmbeddingResponse

NAME = "gemini_embedding"
FORMAT = NAME


def encode_answer(answer: EmbeddingResponse, *, id: str, model: str, created: int, asked: bytes) -> bytes:
    return msgspec.json.encode({"embedding": {"values": answer.vectors[0]}, **usage_of(answer)})
