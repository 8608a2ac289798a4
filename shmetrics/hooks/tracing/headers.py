# SPDX-License-Identifier: Apache-2.0
"""The two headers in which a trace goes from one service to the next, as OSProfiler has them.

``X-Trace-Info`` is JSON in base64: `base_id`, and `parent_id`, the span that the next one is below.
``X-Trace-HMAC`` is its SHA-1 with a key that both sides have in ``[profiler] hmac_keys``. Anybody
can send them, so each is looked at before it is used, and what is refused is counted by reason:

===========  ===================================================================================
`unsigned`   there is no HMAC, or no key here
`oversized`  longer than any that OSProfiler makes
`signature`  signed with no key of ours
`malformed`  signed, and not what OSProfiler says; ids that are no UUIDs
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

#: Characters of a header; those of OSProfiler have 180.
LONGEST: Final = 1024


def headers() -> dict[str, str]:
    """The headers for a request to another service: none if no trace is active here, or it was
    begun without a key."""
    try:
        return web.get_trace_id_headers()
    except Exception as error:
        failed("headers", error)
        return {}


def read(info: Any, signature: Any, keys: Sequence[str], source: str) -> TraceContext | None:
    """The trace that these two headers name; None, and counted as *source*'s, if they are refused;
    None if there are none. Never raises."""
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
    """The trace, or why it is refused."""
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
    """What was signed with *key*, None if that is no trace."""
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
    """A UUID as OSProfiler writes it, "" if it is none."""
    try:
        return str(uuid.UUID(text)) if isinstance(text, str) and len(text) <= 36 else ""
    except ValueError:
        return ""
