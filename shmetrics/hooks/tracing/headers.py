# SPDX-License-Identifier: Apache-2.0
"""The two headers that carry a trace from one service to the next, in OSProfiler's format.

``X-Trace-Info`` is JSON in base64: `base_id`, and `parent_id`, the span below which the trace
continues. ``X-Trace-HMAC`` is its HMAC, with SHA-1 and a key that both sides have in ``[profiler]
hmac_keys``. Anybody can send such headers, so they are checked first. Refused headers are counted
by reason:

===========  ===================================================================================
`unsigned`   there is no HMAC, or no key is configured here
`oversized`  a header is longer than any that OSProfiler makes
`signature`  the HMAC is of no configured key
`malformed`  the format is not OSProfiler's, or an id is not a UUID
===========  ===================================================================================
"""

from __future__ import annotations

import base64
import hmac
import json
import uuid
from collections.abc import Sequence
from typing import Any, Final

from osprofiler import web

from shmetrics.hooks.tracing.failures import failed, refused
from shmetrics.hooks.tracing.span import TraceContext

__all__ = ["headers", "read"]

INFO: Final = web.X_TRACE_INFO
HMAC: Final = web.X_TRACE_HMAC

#: The most characters of a header; OSProfiler's have 180.
LONGEST: Final = 1024


def headers() -> dict[str, str]:
    """Return the headers for a request to another service. Never raises.

    There are none if no trace is active here, or if the trace has no key.
    """
    try:
        return web.get_trace_id_headers()
    except Exception as error:
        failed("headers", error)
        return {}


def read(info: Any, signature: Any, keys: Sequence[str], source: str) -> TraceContext | None:
    """Read the context of a trace from its two headers. Never raises.

    Args:
        info: the value of ``X-Trace-Info``, or None.
        signature: the value of ``X-Trace-HMAC``, or None.
        keys: the configured keys.
        source: the source for which a refusal is counted.

    Returns:
        The context, or None if there are no headers or they are refused.
    """
    if not info and not signature:
        return None
    try:
        found = _read(info, signature, keys)
    except Exception as error:
        failed(source, error)
        return None
    if isinstance(found, str):
        refused(source, found)
        return None
    return found


def _read(info: Any, signature: Any, keys: Sequence[str]) -> TraceContext | str:
    """Return the context of the trace, or the reason why it is refused."""
    if not info or not signature or not keys:
        return "unsigned"
    if not isinstance(info, str) or not isinstance(signature, str):
        return "malformed"
    if max(len(info), len(signature)) > LONGEST:
        return "oversized"
    if not info.isascii() or not signature.isascii():
        return "malformed"
    given = signature.strip()
    for key in keys:
        if hmac.compare_digest(hmac.digest(key.encode(), info.encode(), "sha1").hex(), given):
            return _context_of(key, info) or "malformed"
    return "signature"


def _context_of(key: str, info: str) -> TraceContext | None:
    """Decode an info that was signed with *key*. Return None if it is malformed."""
    try:
        said = json.loads(base64.urlsafe_b64decode(info))
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not {"base_id"} <= said.keys() <= {"base_id", "parent_id"}:
        return None
    base_id = _id(said["base_id"])
    parent_id = _id(said.get("parent_id") or base_id)
    return TraceContext(key, base_id, parent_id) if base_id and parent_id else None


def _id(text: object) -> str:
    """Return a UUID as OSProfiler writes it, or "" if the text is not one."""
    try:
        return str(uuid.UUID(text)) if isinstance(text, str) and len(text) <= 36 else ""
    except ValueError:
        return ""
