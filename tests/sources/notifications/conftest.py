# SPDX-License-Identifier: Apache-2.0
"""oslo.messaging can be imported by all tests of this folder."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported
    import oslo_messaging  # noqa: F401
