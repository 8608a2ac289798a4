# SPDX-License-Identifier: Apache-2.0
"""The collector's configuration: what can be set, where it is read from, how it is explained.

options.py, labels.py and forward.py know every option, load.py merges file and flags, problem.py
makes one line of what is wrong, oslo.py reads an oslo.metrics file, commented.py writes it down as
TOML.
"""

from shmetrics.config.commented import commented
from shmetrics.config.forward import Forward
from shmetrics.config.labels import LabelRule, RewriteRule
from shmetrics.config.load import load
from shmetrics.config.options import Config, Lane, Registration, Store, Traces, Web

__all__ = [
    "Config",
    "Forward",
    "LabelRule",
    "Lane",
    "Registration",
    "RewriteRule",
    "Store",
    "Traces",
    "Web",
    "commented",
    "load",
]
