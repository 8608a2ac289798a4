# SPDX-License-Identifier: Apache-2.0
"""Hooks: one package or module per foreign library, each switched on by its configuration.

A hook knows its library and the emitter's public API. It never raises into the service and never
knows the collector.
"""
