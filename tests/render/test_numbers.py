# SPDX-License-Identifier: Apache-2.0
"""Numbers are written exactly as prometheus_client writes them."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.utils import floatToGoString

from shmetrics.render._text import text_count, text_number


def expected(value: float) -> bytes:
    return str(floatToGoString(value)).encode()  # type: ignore[no-untyped-call]


def from_bits(bits: int) -> float:
    value: float = struct.unpack("<d", struct.pack("<Q", bits))[0]
    return value


SPECIAL = [
    pytest.param(0.0, b"0.0", id="zero"),
    pytest.param(-0.0, b"-0.0", id="negative zero"),
    pytest.param(math.inf, b"+Inf", id="infinity"),
    pytest.param(-math.inf, b"-Inf", id="negative infinity"),
    pytest.param(math.nan, b"NaN", id="not a number"),
    pytest.param(-math.nan, b"NaN", id="negative not a number"),
    pytest.param(5e-324, b"5e-324", id="smallest of all"),
    pytest.param(2.225073858507201e-308, b"2.225073858507201e-308", id="largest denormal"),
    pytest.param(2.2250738585072014e-308, b"2.2250738585072014e-308", id="smallest normal"),
    pytest.param(-2.2250738585072014e-308, b"-2.2250738585072014e-308", id="longest of all"),
    pytest.param(1.7976931348623157e308, b"1.7976931348623157e+308", id="largest"),
    pytest.param(2.0**-44, b"5.684341886080802e-14", id="power of two, digits not the nearest"),
    pytest.param(9007199254740991.0, b"9.007199254740991e+15", id="2^53 - 1"),
    pytest.param(9007199254740992.0, b"9.007199254740992e+15", id="2^53"),
    pytest.param(18014398509481988.0, b"1.8014398509481988e+16", id="odd, tie above is not it"),
    pytest.param(18014398509482012.0, b"1.8014398509482012e+16", id="odd, tie below is not it"),
    pytest.param(18014398509481992.0, b"1.801439850948199e+16", id="even, tie below is it"),
    pytest.param(1e22, b"1e+22", id="exact power of ten"),
    pytest.param(1e23, b"1e+23", id="inexact power of ten"),
    pytest.param(9.5e-323, b"9.4e-323", id="denormal of two digits, the nearest"),
    pytest.param(999999.0, b"999999.0", id="last without exponent"),
    pytest.param(1000000.0, b"1e+06", id="first with exponent"),
    pytest.param(999999.9999, b"999999.9999", id="last fraction without exponent"),
    pytest.param(1234567.5, b"1.2345675e+06", id="exponent and fraction"),
    pytest.param(-1000000.0, b"-1000000.0", id="negative keeps its digits"),
    pytest.param(-1e15, b"-1000000000000000.0", id="negative, sixteen digits"),
    pytest.param(-1e16, b"-1e+16", id="negative with exponent"),
    pytest.param(-1234567890123456.7, b"-1234567890123456.8", id="negative, as many as there are"),
    pytest.param(0.0001, b"0.0001", id="last small without exponent"),
    pytest.param(0.00001, b"1e-05", id="first small with exponent"),
    pytest.param(1e-100, b"1e-100", id="three digits of exponent"),
    pytest.param(0.1 + 0.2, b"0.30000000000000004", id="seventeen digits"),
    pytest.param(100.0, b"100.0", id="zeros before the point stay"),
]


@pytest.mark.parametrize(("value", "text"), SPECIAL)
def test_special(value: float, text: bytes) -> None:
    assert text_number(value) == text == expected(value)


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 2])
def test_around_every_power_of_two(offset: int) -> None:
    """Below a power of two the neighbour is half as far away as above it."""
    for exponent in range(2047):
        value = from_bits(max((exponent << 52) + offset, 0))
        assert text_number(value) == expected(value)


def test_every_power_of_ten() -> None:
    for exponent in range(-324, 309):
        for digits in ("1", "9", "1.5", "9.999999999999999"):
            value = float(f"{digits}e{exponent}")
            assert text_number(value) == expected(value)
            assert text_number(-value) == expected(-value)


@settings(max_examples=2000)
@given(st.integers(0, 2**64 - 1))
def test_any_bits(bits: int) -> None:
    assert text_number(from_bits(bits)) == expected(from_bits(bits))


@settings(max_examples=500)
@given(st.decimals(-(10**9), 10**9, places=4))
def test_short_decimals(value: float) -> None:
    assert text_number(float(value)) == expected(float(value))


@settings(max_examples=1000)
@given(st.integers(0, 2**64 - 1) | st.integers(0, 10**7))
def test_counts(count: int) -> None:
    assert text_count(count) == text_number(float(count)) == expected(count)


@pytest.mark.parametrize("exponent", range(64))
def test_counts_around_powers_of_two(exponent: int) -> None:
    for count in range(max(2**exponent - 2, 0), min(2**exponent + 3, 2**64)):
        assert text_count(count) == expected(count)
