# SPDX-License-Identifier: Apache-2.0
"""Write the dashboards: `python mixin/dashboards.py`.

A dashboard is the classic JSON of Grafana (schema version 36), to be imported by hand, provisioned
from a file or taken into a mixin. What is here is a table of panels; the rest is the same for each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).with_name("dashboards")
SOURCE = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
WIDTH, HEIGHT = 24, 8  # of the grid, and of a panel, in Grafana's units


class Panel(NamedTuple):
    """A graph.

    Attributes:
        unit: Grafana's name of the unit, such as `s`, `bytes`, `reqps`.
        queries: pairs of a legend and an expression.
    """

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    description: str = ""


class Dashboard(NamedTuple):
    """A dashboard. Variables are pairs of a name and the series whose label it chooses from."""

    uid: str
    title: str
    variables: tuple[tuple[str, str], ...]
    panels: tuple[Panel, ...]


def one(title: str, unit: str, legend: str, expression: str, description: str = "") -> Panel:
    """Return a panel of a single query."""
    return Panel(title, unit, ((legend, expression),), description)


CALLS = 'topic=~"$topic",method=~"$method"'
CLIENT, SERVER = "oslo_messaging_rpc_client", "oslo_messaging_rpc_server"
RPC = (
    ("topic", f"{CLIENT}_invocation_start_total"),
    ("method", f"{CLIENT}_invocation_start_total"),
)
NODE = (("hostname", "shmetrics_build_info"),)
HOST = 'hostname=~"$hostname"'


def rate(family: str, by: str, labels: str) -> str:
    """Return the rate of a counter, summed up."""
    return f"sum by ({by}) (rate({family}{{{labels}}}[$__rate_interval]))"


def quantile(q: float, family: str, by: str, labels: str) -> str:
    """Return a quantile of a histogram's classic buckets."""
    buckets = rate(f"{family}_processing_seconds_bucket", f"{by}, le", labels)
    return f"histogram_quantile({q}, {buckets})"


def times(title: str, family: str) -> Panel:
    """Return the median and the 99th percentile of each method's times."""
    return Panel(
        title,
        "s",
        tuple(
            (
                f"p{q * 100:.0f} {{{{topic}}}}.{{{{method}}}}",
                quantile(q, family, "topic, method", CALLS),
            )
            for q in (0.5, 0.99)
        ),
    )


FLEET = Dashboard(
    "shmetrics-fleet",
    "shmetrics / fleet by method",
    RPC,
    (
        one(
            *("Calls and casts sent", "reqps", "{{topic}}.{{method}}"),
            rate(f"{CLIENT}_invocation_start_total", "topic, method", CALLS),
        ),
        one(
            *("Served", "reqps", "{{topic}}.{{method}}"),
            rate(f"{SERVER}_invocation_start_total", "topic, method", CALLS),
        ),
        one(
            *("Errors that clients see", "reqps", "{{topic}}.{{method}} {{exception}}"),
            rate(f"{CLIENT}_exception_total", "topic, method, exception", CALLS),
        ),
        one(
            *("Errors on servers", "reqps", "{{topic}}.{{method}} {{exception}}"),
            rate(f"{SERVER}_exception_total", "topic, method, exception", CALLS),
        ),
        times("Time of a call, for its client", CLIENT),
        times("Time of a call, on its server", SERVER),
        one(
            *("Calls that time out", "percentunit", "{{topic}}.{{method}}"),
            f"topic_method:{CLIENT}_timeouts:ratio_rate5m{{{CALLS}}}",
            "Of all calls, in five minutes. The budget of the alerts is 0.1 %.",
        ),
        one(
            *("Open calls", "short", "{{side}} {{topic}}.{{method}}"),
            f"side_topic_method:shmetrics_rpc_in_flight:sum{{{CALLS}}}",
        ),
    ),
)

HUNG = Dashboard(
    "shmetrics-hung-calls",
    "shmetrics / hung calls",
    RPC,
    (
        one(
            *("Overdue on servers", "short", "{{topic}}.{{method}}"),
            f'side_topic_method:shmetrics_rpc_overdue:sum{{side="server",{CALLS}}}',
            "Older than the timeout of their clients, who have given up.",
        ),
        one(
            *("Overdue on clients", "short", "{{topic}}.{{method}}"),
            f'side_topic_method:shmetrics_rpc_overdue:sum{{side="client",{CALLS}}}',
            "Clients that wait longer than their own timeout: they are blocked.",
        ),
        one(
            *("Nodes with the most overdue calls", "short", "{{hostname}}"),
            f"topk(10, sum by (hostname) (shmetrics_rpc_overdue{{{CALLS}}}))",
        ),
        one(
            *("Age of the oldest open call", "s", "{{side}} {{topic}}.{{method}}"),
            f"side_topic_method:shmetrics_rpc_oldest_in_flight_seconds:max{{{CALLS}}}",
        ),
        one(
            *("Open calls", "short", "{{side}} {{topic}}.{{method}}"),
            f"side_topic_method:shmetrics_rpc_in_flight:sum{{{CALLS}}}",
        ),
        one(
            *("Calls whose process died", "short", "{{side}} {{topic}}.{{method}}"),
            f"sum by (side, topic, method) (shmetrics_rpc_abandoned_total{{{CALLS}}}) or vector(0)",
            "Since each node's store began. The line of zeros has no name: there is always one.",
        ),
        one(
            *("Processes that do not run", "short", "{{state}}"),
            "sum by (state) (shmetrics_processes_halted)",
            "Stopped by a signal, held by a debugger, or frozen, on all nodes.",
        ),
        Panel(
            "Calls to servers, and taken by them",
            "reqps",
            (
                ("to {{topic}}", 'topic:oslo_messaging_rpc_client_calls:rate5m{topic=~"$topic"}'),
                ("by {{topic}}", 'topic:oslo_messaging_rpc_server_calls:rate5m{topic=~"$topic"}'),
            ),
            "Servers take casts, too. A topic that is called and not served is silent.",
        ),
        one(
            *("Timeouts", "reqps", "{{hostname}} {{topic}}.{{method}}"),
            rate(
                f"{CLIENT}_exception_total",
                "hostname, topic, method",
                f'exception="MessagingTimeout",{CALLS}',
            ),
        ),
    ),
)

ONE_NODE = Dashboard(
    "shmetrics-node",
    "shmetrics / one node",
    NODE,
    (
        one(
            *("Calls served", "reqps", "{{topic}}.{{method}}"),
            rate(f"{SERVER}_invocation_start_total", "topic, method", HOST),
        ),
        one(
            *("Time of a call, on its server, p99", "s", "{{topic}}.{{method}}"),
            quantile(0.99, SERVER, "topic, method", HOST),
        ),
        one(
            *("Open calls", "short", "{{side}} {{topic}}.{{method}}"),
            f"sum by (side, topic, method) (shmetrics_rpc_in_flight{{{HOST}}})",
        ),
        one(
            *("Overdue calls", "short", "{{side}} {{topic}}.{{method}}"),
            f"sum by (side, topic, method) (shmetrics_rpc_overdue{{{HOST}}})",
        ),
        one(
            *("Processor, by unit", "short", "{{kind}} {{unit}}"),
            rate("container_cpu_usage_seconds_total", "kind, unit", HOST),
            "In cores.",
        ),
        one(
            *("Memory, by unit", "bytes", "{{kind}} {{unit}}"),
            f"sum by (kind, unit) (container_memory_working_set_bytes{{{HOST}}})",
        ),
        one(
            *("Killed for want of memory", "short", "{{kind}} {{unit}}"),
            f"sum by (kind, unit) (increase(container_oom_events_total{{{HOST}}}[1h]))",
            "In an hour.",
        ),
        one(*("Units", "short", "{{kind}}"), f"sum by (kind) (shmetrics_units{{{HOST}}})"),
        one(
            *("Age of the oldest open call", "s", "{{side}} {{topic}}.{{method}}"),
            f"max by (side, topic, method) (shmetrics_rpc_oldest_in_flight_seconds{{{HOST}}})",
        ),
        one(*("Lanes", "short", "{{state}}"), f"sum by (state) (shmetrics_lanes{{{HOST}}})"),
    ),
)

ITSELF = Dashboard(
    "shmetrics-itself",
    "shmetrics / itself",
    NODE,
    (
        one(
            *("Collectors that are scraped", "short", "up"),
            'sum(up{job=~"shmetrics.*"})',
        ),
        one(
            *("Records taken from rings", "cps", "{{kind}}"),
            rate("shmetrics_events_total", "kind", HOST),
        ),
        one(
            *("Events that were spilled", "percentunit", "{{hostname}}"),
            f"topk(10, hostname:shmetrics_spilled:ratio_rate5m{{{HOST}}})",
        ),
        one(
            *("Events that were dropped", "cps", "{{cause}}"),
            rate("shmetrics_dropped_total", "cause", HOST),
        ),
        one(
            *("Quotas, the fullest node of each", "percentunit", "{{quota}}"),
            f"max by (quota) (shmetrics_quota_used{{{HOST}}}"
            f" / (shmetrics_quota_limit{{{HOST}}} > 0))",
        ),
        one(
            *("Label sets", "short", "{{hostname}}"),
            f"topk(10, shmetrics_series{{{HOST}}})",
        ),
        Panel(
            "Time of a scrape, and of a drain",
            "s",
            tuple(
                (
                    f"{what}, p99",
                    f"histogram_quantile(0.99, sum by (le) "
                    f"(rate(shmetrics_{what}_seconds_bucket{{{HOST}}}[$__rate_interval])))",
                )
                for what in ("scrape", "drain")
            ),
        ),
        one(
            *("Size of a scrape, uncompressed", "bytes", "{{hostname}}"),
            f"topk(10, shmetrics_scrape_bytes{{{HOST}}})",
        ),
        one(
            *("Processor time of collectors", "short", "{{hostname}}"),
            f"topk(10, rate(process_cpu_seconds_total{{{HOST}}}[$__rate_interval]))",
            "In cores.",
        ),
        one(
            *("Memory of collectors", "bytes", "{{hostname}}"),
            f"topk(10, process_resident_memory_bytes{{{HOST}}})",
        ),
        one(
            *("Spans that were lost", "cps", "{{reason}}"),
            rate("shmetrics_spans_lost_total", "reason", HOST),
        ),
        Panel(
            "Metrics to destinations",
            "cps",
            (
                ("{{to}}: sent", rate("shmetrics_forward_series_sent_total", "to", HOST)),
                (
                    "{{to}}: dropped, {{reason}}",
                    rate("shmetrics_forward_series_dropped_total", "to, reason", HOST),
                ),
            ),
            "Series a second.",
        ),
        Panel(
            "Spans to destinations",
            "cps",
            (
                ("{{to}}: sent", rate("shmetrics_forwarded_spans_total", "to", HOST)),
                (
                    "{{to}}: lost, {{reason}}",
                    rate("shmetrics_forward_lost_total", "to, reason", HOST),
                ),
            ),
        ),
        one(
            *("Metrics that wait for destinations", "bytes", "{{hostname}} {{to}}"),
            f"topk(10, shmetrics_forward_waiting_bytes{{{HOST}}})",
        ),
        one(
            *("Registrations", "cps", "{{result}}"),
            rate("shmetrics_registrations_total", "result", HOST),
        ),
    ),
)

DASHBOARDS = (FLEET, HUNG, ONE_NODE, ITSELF)


def expressions(dashboard: Dashboard) -> Iterator[str]:
    """Yield the expressions of all panels."""
    for panel in dashboard.panels:
        for _, expression in panel.queries:
            yield expression


def document(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana has it."""
    return {
        "__inputs": [
            {
                "name": "DS_PROMETHEUS",
                "label": "Prometheus",
                "type": "datasource",
                "pluginId": "prometheus",
                "pluginName": "Prometheus",
            }
        ],
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["shmetrics"],
        "schemaVersion": 36,
        "version": 1,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_variable(*each) for each in dashboard.variables]},
        "panels": [_panel(at, panel) for at, panel in enumerate(dashboard.panels)],
    }


def _variable(name: str, series: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": f"label_values({series}, {name})", "refId": name},
        "refresh": 2,
        "sort": 1,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(at: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(at, 2)
    return {
        "id": at + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH // 2, "y": row * HEIGHT, "w": WIDTH // 2, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {
                "refId": chr(ord("A") + n),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend,
            }
            for n, (legend, expression) in enumerate(panel.queries)
        ],
    }


def files() -> dict[Path, str]:
    """Return the text of each file, by its path."""
    return {
        FOLDER / f"{dashboard.uid}.json": json.dumps(document(dashboard), indent=1) + "\n"
        for dashboard in DASHBOARDS
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
