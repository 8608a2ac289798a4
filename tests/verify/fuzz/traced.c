/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled without tracing, and linked with --wrap=__asan_memcpy: a structure that is copied is not
 * loaded, but handed to AddressSanitizer's memcpy. And with --wrap=__asan_handle_no_return. */
#include "traced.h"

#include <sanitizer/asan_interface.h>
#include <stdint.h>

#define FRAMES_BYTES 65536u

void __sanitizer_cov_load1(uint8_t *at);
void __sanitizer_cov_load2(uint16_t *at);
void __sanitizer_cov_load4(uint32_t *at);
void __sanitizer_cov_load8(uint64_t *at);
void __sanitizer_cov_load16(__uint128_t *at);
void __sanitizer_cov_store1(uint8_t *at);
void __sanitizer_cov_store2(uint16_t *at);
void __sanitizer_cov_store4(uint32_t *at);
void __sanitizer_cov_store8(uint64_t *at);
void __sanitizer_cov_store16(__uint128_t *at);
void *__real___asan_memcpy(void *to, const void *from, size_t n_bytes);
void *__wrap___asan_memcpy(void *to, const void *from, size_t n_bytes);
void __wrap___asan_handle_no_return(void);

unsigned char *traced_stack;

void __sanitizer_cov_load1(uint8_t *at) { on_load((unsigned char *)at, sizeof *at); }
void __sanitizer_cov_load2(uint16_t *at) { on_load((unsigned char *)at, sizeof *at); }
void __sanitizer_cov_load4(uint32_t *at) { on_load((unsigned char *)at, sizeof *at); }
void __sanitizer_cov_load8(uint64_t *at) { on_load((unsigned char *)at, sizeof *at); }
void __sanitizer_cov_load16(__uint128_t *at) { on_load((unsigned char *)at, sizeof *at); }
void __sanitizer_cov_store1(uint8_t *at) { on_store((unsigned char *)at, sizeof *at); }
void __sanitizer_cov_store2(uint16_t *at) { on_store((unsigned char *)at, sizeof *at); }
void __sanitizer_cov_store4(uint32_t *at) { on_store((unsigned char *)at, sizeof *at); }
void __sanitizer_cov_store8(uint64_t *at) { on_store((unsigned char *)at, sizeof *at); }
void __sanitizer_cov_store16(__uint128_t *at) { on_store((unsigned char *)at, sizeof *at); }

void *__wrap___asan_memcpy(void *to, const void *from, size_t n_bytes)
{
    on_load((unsigned char *)(uintptr_t)from, n_bytes);
    on_store(to, n_bytes);
    return __real___asan_memcpy(to, from, n_bytes);
}

void __wrap___asan_handle_no_return(void)
{
    __asan_unpoison_memory_region(traced_stack - FRAMES_BYTES, FRAMES_BYTES);
}
