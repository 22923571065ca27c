"""The canonical form of a request and its content address.

Two bodies that mean the same have the same canonical form: defaults are filled in, fields stand in the schema's order and
numbers are written one way, whatever the spelling on the wire.
"""

import hashlib

from api_schemas.base import Schema

NEGATIVE_ZEROS = tuple((b"-0.0" + end, b"0.0" + end) for end in (b",", b"}", b"]"))


def canonical_json(request: Schema) -> bytes:
    """Write a validated request in its canonical form: compact JSON, UTF-8, negative zeros positive."""
    text = request.__pydantic_serializer__.to_json(request)
    if b"-0.0" in text:
        for negative, positive in NEGATIVE_ZEROS:
            text = text.replace(negative, positive)
    return text


def content_address(request: Schema, *, solver_version: str) -> str:
    """Return the SHA-256, in hexadecimal, of the canonical request and the version of what answers it."""
    return hashlib.sha256(solver_version.encode() + b"\n" + canonical_json(request)).hexdigest()
