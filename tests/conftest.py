# SPDX-License-Identifier: Apache-2.0
"""What all tests share: private servers, and the account of what a test leaves behind."""

from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.quick",
    "tests.servers.collector",
    "tests.servers.leftovers",
    "tests.servers.prometheus",
    "tests.servers.rabbitmq",
    "tests.servers.services",
    "tests.nodes.node",
    "tests.nodes.loopback",
]

# How fast examples are made says something of the machine, and nothing of what is tested.
settings.register_profile(
    "any machine", suppress_health_check=[HealthCheck.too_slow], deadline=None
)
settings.load_profile("any machine")
