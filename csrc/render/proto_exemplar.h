/* SPDX-License-Identifier: Apache-2.0 */
/* An io.prometheus.client.Exemplar, as a field of a counter, a bucket or a native histogram. */
#ifndef SHM_PROTO_EXEMPLAR_H
#define SHM_PROTO_EXEMPLAR_H

#include <stddef.h>

#include "../lane/exemplar.h"

enum { SHM_PROTO_EXEMPLAR_BOUND = 128 };

/* Returns the size of the field, with tag and length; at most SHM_PROTO_EXEMPLAR_BOUND. */
size_t shm_proto_exemplar_bytes(unsigned field, const struct shm_exemplar *exemplar);

/* Writes the field; returns its end. */
char *shm_put_proto_exemplar(char *out, unsigned field, const struct shm_exemplar *exemplar);

#endif
