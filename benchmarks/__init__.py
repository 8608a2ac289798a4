# SPDX-License-Identifier: Apache-2.0
"""The cost of an event, here and elsewhere. `python -m benchmarks` runs and reports all of it.

A *contender* is one way of doing one thing; a *group* holds the contenders that can be compared.
Each contender is measured in processes of its own (`worker`), turn by turn with the others of its
group (`rounds`), so that a busy minute of the machine does not fall on one of them alone. Ratios
are taken within one run only (`report`). Nothing here asserts a time.
"""
