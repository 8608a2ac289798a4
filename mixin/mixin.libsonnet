// SPDX-License-Identifier: Apache-2.0
// The rules, alerts and dashboards as a mixin. Jsonnet from 0.20 on, for std.parseYaml.
{
  _config+:: { runbookUrlPrefix: '' },

  local linked(rule) =
    if std.objectHas(rule, 'annotations') && std.objectHas(rule.annotations, 'runbook_url')
    then rule { annotations+: { runbook_url: $._config.runbookUrlPrefix + super.runbook_url } }
    else rule,

  prometheusRules+:: std.parseYaml(importstr 'rules.yaml'),

  prometheusAlerts+:: {
    groups: [
      group { rules: [linked(rule) for rule in super.rules] }
      for group in std.parseYaml(importstr 'alerts.yaml').groups
    ],
  },

  grafanaDashboards+:: {
    'shmetrics-fleet.json': import 'dashboards/shmetrics-fleet.json',
    'shmetrics-hung-calls.json': import 'dashboards/shmetrics-hung-calls.json',
    'shmetrics-itself.json': import 'dashboards/shmetrics-itself.json',
    'shmetrics-node.json': import 'dashboards/shmetrics-node.json',
  },
}
