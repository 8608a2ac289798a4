# SPDX-License-Identifier: Apache-2.0
"""The collector's configuration: what can be set, where it is read from, how it is explained.

options.py and labels.py know every option, load.py merges file and flags, problem.py makes one
line of what is wrong, oslo.py reads an oslo.metrics file, commented.py writes it down as TOML.
"""

from shmetrics.config.commented import commented
from shmetrics.config.labels import LabelRule, RewriteRule
from shmetrics.config.load import load
from shmetrics.config.options import Config, Lane, Registration, Store, Web

__all__ = [
    "Config",
    "LabelRule",
    "Lane",
    "Registration",
    "RewriteRule",
    "Store",
    "Web",
    "commented",
    "load",
]
