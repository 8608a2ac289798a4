# SPDX-License-Identifier: Apache-2.0
"""Hooks into other libraries: one package or module per library, each switched on by configuration.

A hook knows its library and the public API of the emitter, not the collector. It never raises into
the service.
"""
