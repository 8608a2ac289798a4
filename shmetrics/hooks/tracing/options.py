# SPDX-License-Identifier: Apache-2.0
"""The options of the group ``[profiler]`` that switch sources of spans on.

Some of them are OSProfiler's own. They are registered without loading OSProfiler, so that a service
in which nothing is switched on does not pay for its import.
"""

from __future__ import annotations

from typing import Any, Final

from oslo_config import cfg

__all__ = ["GROUP", "list_opts", "register"]

GROUP: Final = "profiler"


class _Shared(cfg.BoolOpt):
    """An option that OSProfiler registers as well; the second registration finds it equal."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, cfg.BoolOpt) and other.dest == self.dest

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = cfg.BoolOpt.__hash__


_SHARED: Final = [
    _Shared("enabled", default=False, deprecated_name="profiler_enabled"),
    _Shared("trace_sqlalchemy", default=False),
    _Shared("trace_requests", default=False),
]

_OURS: Final = [
    cfg.BoolOpt(
        "compiled_profiler",
        default=False,
        help="Whether compiled code takes the place of OSProfiler's profiler.",
    ),
    cfg.BoolOpt(
        "trace_wsgi",
        default=False,
        help="Whether shmetrics.hooks.wsgi or OSProfiler's middleware, in the pipeline of an API, "
        "takes traces from the headers of requests, and makes one span of each.",
    ),
    cfg.BoolOpt(
        "trace_rpc",
        default=False,
        help="Whether RPC and notifications of a transport_url of shmetrics+...:// are traced. RPC "
        "takes the trace along to the server.",
    ),
    cfg.BoolOpt(
        "trace_transactions",
        default=False,
        help="Whether transactions of SQLAlchemy are traced and measured, from begin to commit or "
        "rollback.",
    ),
    cfg.BoolOpt(
        "trace_redis", default=False, help="Whether commands to Redis are traced and measured."
    ),
    cfg.BoolOpt(
        "trace_mongodb", default=False, help="Whether commands to MongoDB are traced and measured."
    ),
    cfg.ListOpt(
        "trace_classes",
        default=[],
        help="Classes whose public methods are traced, each as module:Class.",
    ),
    cfg.BoolOpt(
        "trace_sql_parameters",
        default=False,
        help="Whether the parameters of SQL statements are kept. They may be secrets.",
    ),
    cfg.BoolOpt(
        "trace_arguments",
        default=False,
        help="Whether arguments of RPC, of methods and of commands are kept, the query strings of "
        "HTTP, and what errors say. They may be secrets.",
    ),
]


def register(conf: Any) -> None:
    """Register all options at *conf*, also if it has them already."""
    conf.register_opts([*_SHARED, *_OURS], group=GROUP)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return shmetrics's own options, for ``oslo-config-generator --namespace shmetrics``."""
    return [(GROUP, _OURS)]
