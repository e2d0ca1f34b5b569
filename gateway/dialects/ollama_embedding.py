"""Ollama's older embeddings, one text and one vector (``/api/embeddings``), by way of the newer:
https://github.com/ollama/ollama/blob/main/docs/api.md#generate-embedding
"""

from __future__ import annotations

import msgspec

from gateway.dialects.ollama_embeddings import CLOSING as CLOSING
from gateway.dialects.ollama_embeddings import KEEPALIVE as KEEPALIVE
from gateway.dialects.ollama_embeddings import OPERATION as OPERATION
from gateway.dialects.ollama_embeddings import RESUMES as RESUMES
from gateway.dialects.ollama_embeddings import cleared as cleared
from gateway.dialects.ollama_embeddings import continuation as continuation
from gateway.dialects.ollama_embeddings import conversation as conversation
from gateway.dialects.ollama_embeddings import decode_request as decode_request
from gateway.dialects.ollama_embeddings import error_body as error_body
from gateway.dialects.ollama_embeddings import error_frame as error_frame
from gateway.dialects.ollama_embeddings import glimpse as glimpse
from gateway.dialects.ollama_embeddings import identity as identity
from gateway.dialects.ollama_embeddings import noted as noted
from gateway.dialects.ollama_embeddings import peek as peek
from gateway.dialects.ollama_embeddings import planning as planning
from gateway.dialects.ollama_embeddings import prepended as prepended
from gateway.dialects.ollama_embeddings import read_whole as read_whole
from gateway.dialects.ollama_embeddings import restamp as restamp
from gateway.dialects.ollama_embeddings import rewrite as rewrite
from gateway.dialects.ollama_embeddings import skim as skim
from gateway.dialects.ollama_embeddings import spoken as spoken
from gateway.dialects.ollama_embeddings import with_cost as with_cost
from gateway.dialects.ollama_embeddings import without_usage as without_usage
from gateway.embedding import EmbeddingResponse

NAME = "ollama_embedding"
FORMAT = NAME
"""No vendor is asked in it: what Ollama answers to it is not normalized, unlike what all others answer."""


def encode_answer(answer: EmbeddingResponse, *, id: str, model: str, created: int, asked: bytes) -> bytes:
    return msgspec.json.encode({"embedding": answer.vectors[0]})
