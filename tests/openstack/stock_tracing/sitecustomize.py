# SPDX-License-Identifier: Apache-2.0
"""Load OpenTelemetry's exporter: imported as Python starts, from PYTHONPATH.

oslo.messaging 18.3 takes it from a package of which it imports only the parent.
"""

import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: F401
