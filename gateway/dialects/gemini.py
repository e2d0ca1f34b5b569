"""Gemini's generateContent, as Google's developer API and Vertex AI serve it: https://ai.google.dev/api/generate-content"""

from __future__ import annotations

from gateway.dialects.gemini_answer import decode_answer as decode_answer
from gateway.dialects.gemini_answer import stream_decoder as stream_decoder
from gateway.dialects.gemini_contents import SIGNED as SIGNED
from gateway.dialects.gemini_request import encode_request as encode_request

NAME = "gemini"
REFERS = ("gs://", "https://")
"""Cloud Storage, files given to Google, YouTube and, since January 2026, any public page:
https://ai.google.dev/gemini-api/docs/file-input-methods"""
