# SPDX-License-Identifier: Apache-2.0
"""The common parts of all tests: private servers, and the account of what a test leaves behind."""

pytest_plugins = [
    "pytester",
    "tests.examples",
    "tests.quick",
    "tests.share",
    "tests.servers.collector",
    "tests.servers.leftovers",
    "tests.servers.prometheus",
    "tests.servers.rabbitmq",
    "tests.servers.services",
    "tests.nodes.node",
    "tests.nodes.loopback",
]
