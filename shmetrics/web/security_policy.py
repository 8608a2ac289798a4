# SPDX-License-Identifier: Apache-2.0
"""The headers of a page, with which a browser uses our style and our script, and no other.

Labels come from strangers. They are escaped, and if that failed they could still do nothing.
"""

from __future__ import annotations

import base64
import hashlib

from shmetrics.web.templates import STYLE


def headers(script: str = "", form_action: str = "'none'") -> dict[str, str]:
    """Return the headers of a page.

    Args:
        script: The text of its script, which may ask this server again. Empty: it has none.
        form_action: the targets of its forms, as a content security policy writes them.
    """
    scripts = f"script-src {hash_of(script)}; connect-src 'self'; " if script else ""
    return {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": f"default-src 'none'; style-src {hash_of(STYLE)}; {scripts}"
        f"img-src data:; base-uri 'none'; form-action {form_action}; frame-ancestors 'none'",
        "referrer-policy": "no-referrer",
    }


def hash_of(text: str) -> str:
    """Name a style or a script as a content security policy does, by its hash."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
