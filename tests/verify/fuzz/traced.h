/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every load and store of the core, made visible. The sources of csrc/ are compiled as they are, with
 * clang's -fsanitize-coverage=trace-loads,trace-stores; each access then calls one of these before it
 * happens. So a target can change memory between two reads, and end a pass between two stores.
 */
#ifndef TRACED_H
#define TRACED_H

#include <stddef.h>

void on_load(unsigned char *at, size_t n_bytes);
void on_store(unsigned char *at, size_t n_bytes);

/* Where the target's own frames begin. It leaves the core by jumps; AddressSanitizer would ask /proc for
 * the whole stack at each, which takes longer than everything else. */
extern unsigned char *traced_stack;

#endif
