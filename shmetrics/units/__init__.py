# SPDX-License-Identifier: Apache-2.0
"""The units of a node: its services, containers, machines and gears, and what each costs.

unit.py says what a unit is, rules.py which cgroup is one, hierarchies.py where cgroups are, scan.py
which units there are now. measures.py has what each file means, and _files.pyx reads them.
"""
