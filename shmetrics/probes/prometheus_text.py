# SPDX-License-Identifier: Apache-2.0
"""Prometheus's text format, as commands and files of others have it, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Metric

MOST_BYTES = 4 * 1024 * 1024
MOST_SAMPLES = 20_000


class BadText(Exception):
    """A text is not in the format, or is too much; one line for people."""


def parse(text: bytes) -> list[Metric]:
    """Return the families of a text, each with its samples.

    Raises:
        BadText: the text is not all right; none of it is taken.
    """
    from shmetrics.probes.prometheus_parser import families_of  # only where there is a text

    if len(text) > MOST_BYTES:
        raise BadText(f"more than {MOST_BYTES} bytes")
    families, samples = [], 0
    try:
        for family in families_of(text.decode()):
            families.append(family)
            samples += len(family.samples)
            if samples > MOST_SAMPLES:
                raise BadText(f"more than {MOST_SAMPLES} samples")
    except UnicodeDecodeError:
        raise BadText("this is not UTF-8") from None
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        # The parser splits and looks up without a check, and fails as it may.
        said = " ".join(str(error).split())[:200]
        raise BadText(f"this is not the text format: {said or type(error).__name__}") from None
    return families
