# SPDX-License-Identifier: Apache-2.0
"""The spawner: a process of its own, the only one of all that may be root.

serve.py is its life, guardian.py ends what it leaves behind if it is killed, spawner.py is its
loop, connection.py and protocol.py its conversation with gatherers. permission.py, trusted_file.py
and accounts.py say what may be run and as whom. runs.py, run.py, run_cgroups.py, orphans.py and
csrc/spawn/ run it and see to its end; standstill.py does that while a disk does not answer.
"""
