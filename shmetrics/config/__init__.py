# SPDX-License-Identifier: Apache-2.0
"""The configuration of the collector: its options, its sources and its explanation.

options.py, labels.py, forward.py and metrics_forward.py define the options, load.py merges files
and flags, problem.py explains an error in one line, oslo.py reads a file of oslo.metrics,
commented.py writes a configuration as TOML.
"""

from shmetrics.config.commented import commented
from shmetrics.config.forward import Forward
from shmetrics.config.labels import LabelRule, RewriteRule
from shmetrics.config.load import load
from shmetrics.config.metrics_forward import MetricsForward
from shmetrics.config.options import Config, Lane, Metrics, Registration, Store, Traces, Web

__all__ = [
    "Config",
    "Forward",
    "LabelRule",
    "Lane",
    "Metrics",
    "MetricsForward",
    "Registration",
    "RewriteRule",
    "Store",
    "Traces",
    "Web",
    "commented",
    "load",
]
