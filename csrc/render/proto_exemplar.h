/* SPDX-License-Identifier: Apache-2.0 */
/* An io.prometheus.client.Exemplar as a field of what it stands for. */
#ifndef SHM_PROTO_EXEMPLAR_H
#define SHM_PROTO_EXEMPLAR_H

#include <stddef.h>

#include "../lane/exemplar.h"

enum { SHM_PROTO_EXEMPLAR_BOUND = 128 };

/* With tag and length; at most SHM_PROTO_EXEMPLAR_BOUND. */
size_t shm_proto_exemplar_bytes(unsigned field, const struct shm_exemplar *exemplar);

char *shm_put_proto_exemplar(char *out, unsigned field, const struct shm_exemplar *exemplar);

#endif
