# SPDX-License-Identifier: Apache-2.0
"""The configuration of the collector: its options, its sources and its explanation.

options.py, labels.py, traces_forward.py and metrics_forward.py define the options, load.py merges
files and flags, problem.py explains an error in one line, oslo.py reads a file of oslo.metrics,
commented.py writes a configuration as TOML.
"""

from shmetrics.config.commented import commented
from shmetrics.config.labels import LabelRule, RewriteRule
from shmetrics.config.load import load
from shmetrics.config.metrics_forward import MetricsForward
from shmetrics.config.options import Config, Lane, Metrics, Registration, Store, Traces, Web
from shmetrics.config.traces_forward import TracesForward

__all__ = [
    "Config",
    "LabelRule",
    "Lane",
    "Metrics",
    "MetricsForward",
    "Registration",
    "RewriteRule",
    "Store",
    "Traces",
    "TracesForward",
    "Web",
    "commented",
    "load",
]
