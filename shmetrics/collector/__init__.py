# SPDX-License-Identifier: Apache-2.0
"""The collector: lanes in, tables out. It knows neither text formats nor HTTP."""
