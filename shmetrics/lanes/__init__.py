# SPDX-License-Identifier: Apache-2.0
"""Lanes in: their files and how much they may take, kicks, what their ids are bound to, open calls.

It drains them into the store, and does not know how anything is shown.
"""
