"""Gemini's embedding models on Vertex (``:batchEmbedContents``): as Gemini's own, what is asked of each vector in
``embedContentConfig``.

https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api and Google's SDK
"""

from __future__ import annotations

from gateway.chat import Encoded
from gateway.dialects import embedding_words as words
from gateway.dialects.gemini_embeddings import config_of, contents
from gateway.dialects.gemini_embeddings import decode_answer as decode_answer
from gateway.embedding import EmbeddingRequest

NAME = "vertex_gemini_embeddings"
REFERS = ("gs:",)

_OWN = ("documentOcr", "audioTrackExtraction")


def encode_request(request: EmbeddingRequest) -> Encoded:
    """Raises ``CallerError`` (400) for a text given as tokens."""
    config, dropped = config_of(request)
    if request.truncate is not None:
        config["autoTruncate"] = request.truncate
    config |= words.known(request.extra, _OWN)
    requests = [
        {"content": content, **({"embedContentConfig": config} if config else {})} for content in contents(request)
    ]
    return Encoded(body={"requests": requests}, dropped=(*dropped, *words.unknown(request.extra, _OWN)))
