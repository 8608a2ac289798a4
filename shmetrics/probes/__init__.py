# SPDX-License-Identifier: Apache-2.0
"""Probes: commands of units, or of the configuration, that print metrics.

probe.py says what a probe is, discovery.py and manifest.py find those of a gear, schedule.py says
when each runs, runner.py has one run by the spawner and bounds its output with output.py, and
probes.py joins them in the gatherer's loop, within limits.py, and calls callbacks.py with what
comes of them. textfile.py reads files that others have written. spawner/ is the process that runs
the commands.
"""
