# SPDX-License-Identifier: Apache-2.0
"""All groups, by key, in the order of the report."""

from benchmarks.groups import (
    busy,
    clocks,
    core,
    hook,
    http,
    imports,
    instruments,
    labels,
    lanes,
    protobuf,
    rabbit,
    restart,
    rings,
    scaling,
    scrape,
    spill,
)

GROUPS = {
    group.key: group
    for group in (
        instruments.INC,
        instruments.OBSERVE,
        instruments.RPC,
        busy.BUSY,
        hook.SEND,
        hook.CALL,
        rabbit.RABBIT,
        rabbit.AFTER,
        imports.SECONDS,
        imports.BYTES,
        core.CORE,
        rings.ONE,
        rings.TWO,
        clocks.CLOCK,
        spill.SPILL,
        scaling.PROCESSOR,
        scaling.NODE,
        scaling.BY_SERIES,
        scrape.SCRAPE,
        http.HTTP,
        http.MEMORY,
        protobuf.PROTOBUF,
        lanes.SHARED,
        lanes.IDLE,
        labels.EMITTER,
        labels.EMITTER_BYTES,
        labels.COLLECTOR,
        labels.COLLECTOR_BYTES,
        labels.SERIES,
        restart.RESTART,
    )
}
