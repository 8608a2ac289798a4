# SPDX-License-Identifier: Apache-2.0
"""The status of an HTTP response in the info of a span, at the server and at the client.

A status of 400 or more is the error of its span: the request has not done what it was sent for,
although nothing was raised.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

__all__ = ["code_of", "described"]

#: The first status that is an error.
_FIRST_ERROR: Final = 400


def code_of(status: object) -> int:
    """Return the code of a status line, such as "404 Not Found", or 0 if it does not have one."""
    code = str(status)[:3]
    return int(code) if len(code) == 3 and code.isascii() and code.isdigit() else 0


def described(where: str, code: object) -> dict[str, Any]:
    """Return what the end of a span says about a response.

    Args:
        where: the key of the info under which OSProfiler's reports look.
        code: the status code; anything else than a positive number says nothing.
    """
    if not isinstance(code, int) or code <= 0:
        return {}
    said: dict[str, Any] = {where: {"status_code": int(code)}}
    return said | {"etype": _name(code)} if code >= _FIRST_ERROR else said


def _name(code: int) -> str:
    """Return a status with its standard phrase: what an application writes there may quote data."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return f"{code}"
