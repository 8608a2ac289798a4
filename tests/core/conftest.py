# SPDX-License-Identifier: Apache-2.0
"""The C core as a cffi module, compiled once per run into a temporary folder."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cffi
import pytest

from tests.core.sources import DRAIN
from tests.servers.once import once

ROOT = Path(__file__).resolve().parents[2]

DECLARATIONS = """
enum shm_emit { SHM_EMITTED, SHM_ATTENTION };
enum shm_attach { SHM_ATTACH_OK, SHM_ATTACH_NOT_READY, SHM_ATTACH_NOT_A_LANE, SHM_ATTACH_VERSION,
                  SHM_ATTACH_BAD_PARTS };
enum shm_drained { SHM_DRAINED, SHM_DRAIN_ENTRIES, SHM_DRAIN_NO_MEMORY, SHM_BROKEN_HEAD,
                   SHM_BROKEN_DICTIONARY, SHM_BROKEN_ENTRY, SHM_BROKEN_KIND, SHM_BROKEN_SERIES,
                   SHM_BROKEN_VALUE, SHM_BROKEN_CELLS, SHM_BROKEN_CUT_SHORT };
struct shm_definition { uint32_t generation; ...; };
struct shm_family {
    uint16_t type; uint32_t n_bounds; const double *bounds;
    const unsigned char *text; uint32_t text_bytes; struct shm_definition defined[2]; ...;
};
struct shm_series {
    uint32_t generation; uint32_t id; uint32_t cell; uint16_t type; uint32_t n_bounds;
    const double *bounds; struct shm_family *family; struct shm_series *parent;
    const unsigned char *text; uint32_t text_bytes; ...;
};
struct shm_call { uint64_t start_ns; uint32_t slot; bool open; ...; };
struct shm_entry { uint32_t size_bytes; uint16_t kind; uint16_t type; uint32_t id; uint32_t of; };
struct shm_open_call_copy {
    uint64_t start_ns; uint32_t series; uint32_t slot; uint32_t timeout_ms; ...;
};
struct shm_gauge_copy { uint32_t series; double value; uint64_t stamp_ns; ...; };
struct shm_observed_copy { uint32_t series; double total; uint64_t start_ns; ...; };
struct shm_counts {
    uint64_t recorded; uint64_t spilled; uint64_t overflowed; uint64_t dropped[9]; ...;
};
struct shm_trace { uint8_t id[16]; uint8_t span[8]; };
struct shm_exemplar {
    uint64_t series; uint64_t bucket; double value; uint64_t stamp_ns; struct shm_trace trace; ...;
};
struct shm_exemplars { uint32_t n; uint64_t displaced; ...; };
struct shm_room { uint64_t bytes; uint32_t cells; };
struct shm_producer { uint32_t n_free;
    uint32_t cells_used; uint64_t dictionary_end; struct shm_room reserved; bool wants_larger;
    struct shm_producer *waiting; ...;
};
struct shm_span {
    uint8_t kind; uint8_t flags; uint16_t n_info; uint32_t series; uint64_t stamp_ns;
    uint8_t id[16]; uint8_t trace[16]; uint8_t parent[16];
};
struct shm_spans {
    unsigned char *bytes; size_t size_bytes; size_t used_bytes; uint64_t n, lost;
};
struct shm_ring_reader { uint64_t tail; ...; };
struct shm_drain { struct shm_ring_reader ring; struct shm_spans *spans; ...; };
struct shm_scale { uint32_t n_slots, coarse_at; ...; };
struct shm_undo { uint64_t kind, lane_id, index, seen, n; ...; };
struct shim {
    unsigned char *memory; uint64_t size_bytes; struct shm_producer producer;
    struct shm_drain drain; struct shm_undo undo; uint64_t *cells;
};
struct shim *shim_new(uint32_t, uint32_t, uint32_t, uint32_t);
bool shim_move(struct shim *, uint32_t, uint32_t, uint32_t, uint32_t);
void shim_free(struct shim *);
void shim_may_grow(struct shim *);
struct shim *shim_grow(struct shim *, uint32_t, uint32_t, uint32_t, uint32_t);
void shim_settle(struct shim *);
uint64_t shim_moved_to(struct shim *);
bool shim_push(struct shim *, uint64_t, int *);
uint64_t shim_waiting(struct shim *);
uint64_t shim_pop(struct shim *);
void shim_counts(struct shim *, struct shm_counts *);

bool shm_trace_read(struct shm_trace *, const char *, size_t);
bool shm_span_read(struct shm_trace *, const char *, size_t);
struct shm_ids { uint64_t high; uint64_t low; };
uint64_t shm_scatter_62(uint64_t);
void shm_id_next(struct shm_ids *, uint8_t *);
void shm_id_text(char *, const uint8_t *);
bool shm_exemplars_open(struct shm_exemplars *, uint32_t);
void shm_exemplars_close(struct shm_exemplars *);
void shm_exemplars_put(struct shm_exemplars *, const struct shm_exemplar *, uint64_t);
void shm_exemplars_forget(struct shm_exemplars *, uint64_t, uint32_t);
uint32_t shm_exemplars_copy(const struct shm_exemplars *, struct shm_exemplar *);
uint32_t shm_bucket(const double *, uint32_t, double);
enum shm_emit shm_emit_add(struct shm_producer *, struct shm_series *, double);
enum shm_emit shm_emit_add_traced(struct shm_producer *, struct shm_series *, double,
                                  const struct shm_trace *);
enum shm_emit shm_emit_observe(struct shm_producer *, struct shm_series *, double);
enum shm_emit shm_emit_gauge(struct shm_producer *, struct shm_series *, double, bool, bool);
enum shm_emit shm_emit_total(struct shm_producer *, struct shm_series *, double);
enum shm_emit shm_emit_totals(struct shm_producer *, struct shm_series *const *, const double *,
                              uint32_t);
enum shm_emit shm_emit_generation(struct shm_producer *, struct shm_series *, double);
enum shm_emit shm_emit_call_start(struct shm_producer *, struct shm_series *, struct shm_call *);
enum shm_emit shm_emit_call_end(struct shm_producer *, struct shm_series *, struct shm_call *,
                                struct shm_series *);
enum shm_emit shm_emit_span(struct shm_producer *, struct shm_series *, const struct shm_span *,
                            const unsigned char *, uint32_t);
bool shm_declare(struct shm_producer *, struct shm_series *);
void shm_series_remove(struct shm_producer *, struct shm_series *);
enum shm_drained shm_drain_remove(struct shm_drain *, uint32_t);
enum shm_drained shm_drain_pass(struct shm_drain *);
enum shm_drained shm_drain_entry(struct shm_drain *, struct shm_entry *, unsigned char *);
enum shm_drained shm_drain_bind(struct shm_drain *, uint16_t, uint32_t, const struct shm_scale *,
                                uint64_t *);
void shm_scale_init(struct shm_scale *, const double *, uint32_t, const double *, uint32_t);
uint32_t shm_scale_place(const struct shm_scale *, double);
uint32_t shm_scale_counts(const struct shm_scale *);
void shm_sum_runs(const uint64_t *, const uint32_t *, uint32_t, uint64_t *);
uint32_t shm_drain_calls(const struct shm_drain *, struct shm_open_call_copy *, uint32_t);
uint32_t shm_drain_gauges(const struct shm_drain *, uint32_t, struct shm_gauge_copy *, uint32_t);
uint32_t shm_drain_observed(const struct shm_drain *, uint32_t, struct shm_observed_copy *,
                            uint32_t);
"""


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The compiled module: core.lib and core.ffi."""
    folder = once(tmp_path_factory, "core", build)
    [path] = folder.glob("shm_core.*.so")
    return _load("shm_core", str(path))


def build(folder: Path) -> None:
    sanitize = os.environ.get("SHM_CORE_SANITIZE")  # see test_sanitizers.py
    instrument = [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer"] if sanitize else []
    ffi = cffi.FFI()
    ffi.cdef(DECLARATIONS)
    ffi.set_source(
        "shm_core",
        '#include "shim.h"\n#include "lane/counts.h"\n#include "lane/trace.h"\n'
        '#include "emit/emit_span.h"\n#include "emit/ids.h"',
        sources=[
            *(str(ROOT / "tests/core/shim.c"), str(ROOT / "csrc/drain/exemplars.c")),
            *map(str, DRAIN),
        ],
        include_dirs=[str(ROOT / "csrc"), str(ROOT / "tests/core")],
        extra_compile_args=["-std=gnu11", "-O1", "-Wno-unused-function", *instrument],
        extra_link_args=instrument,
    )
    ffi.compile(tmpdir=str(folder))


def _load(name: str, path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
