# SPDX-License-Identifier: Apache-2.0
"""Compressed piece by piece, it is one gzip file of what it was."""

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from shmetrics.render.compression import gzipped


@given(st.lists(st.binary(max_size=5000), max_size=20))
def test_what_comes_out_is_what_went_in(pieces: list[bytes]) -> None:
    compressed = b"".join(gzipped(pieces))
    assert gzip.decompress(compressed) == b"".join(pieces)
    # One stream with nothing behind it: not every client reads on behind the first.
    stream = zlib.decompressobj(31)
    stream.decompress(compressed)
    assert stream.eof
    assert not stream.unused_data


def test_nothing_is_held_back_for_long() -> None:
    """Check that a hundred large pieces that repeat themselves come out as they go in."""
    line = b'oslo_messaging_rpc_client_processing_seconds_bucket{method="%d"} %d.0\n'
    pieces = (
        b"".join(line % (number, number * piece % 977) for number in range(2000))
        for piece in range(100)
    )
    sizes = [len(compressed) for compressed in gzipped(pieces)]
    assert len(sizes) == 101
    assert sizes[-1] < sum(sizes) / 10


def test_the_same_text_is_the_same_file() -> None:
    """Check that a file has no time in it."""
    assert list(gzipped([b"x"])) == list(gzipped([b"x"]))
    assert b"".join(gzipped([b"x"]))[4:8] == b"\0\0\0\0"
