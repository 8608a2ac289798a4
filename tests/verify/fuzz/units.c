/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzing of what the kernel, or whoever pretends to be it, writes of units and processes: no byte
 * outside the text is read, and every value is NaN or one that a counter may have. */
#include "program.h"
#include "units/devices.h"
#include "units/process.h"
#include "units/scan.h"
#include "units/values.h"

#include <math.h>

enum { MOST = 4 };

static void check(const double *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        MUST(isnan(values[i]) || (values[i] >= 0 && values[i] < (double)SHM_UNIT_NO_LIMIT + 1),
             "a value that no file can have");
}

static void check_devices(const struct shm_unit_devices *devices)
{
    MUST(devices->n <= SHM_UNIT_DEVICES, "more rows than there is room for");
    for (uint32_t i = 0; i < devices->n; i++) {
        check(devices->rows[i].values, SHM_UNIT_COLUMNS);
        for (uint32_t j = 0; j < i; j++)
            MUST(devices->rows[i].major != devices->rows[j].major ||
                     devices->rows[i].minor != devices->rows[j].minor,
                 "a device has two rows");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    static const struct shm_unit_key keys[MOST] = {{"a", 1}, {"usage_usec", 10}, {"x:", 2}, {"", 0}};
    double values[MOST];
    /* Memory of exactly this size: AddressSanitizer watches its end. */
    char *text = malloc(n_bytes ? n_bytes : 1);
    MUST(text, "no memory");
    memcpy(text, data, n_bytes);
    shm_unit_fields(text, n_bytes, values, MOST);
    check(values, MOST);
    shm_unit_keyed(text, n_bytes, keys, values, MOST);
    check(values, MOST);
    MUST(isnan(values[3]), "a key without a character");
    shm_unit_pressure(text, n_bytes, values);
    check(values, SHM_UNIT_PRESSURES);
    MUST(shm_unit_lines(text, n_bytes) <= n_bytes, "more lines than bytes");
    struct shm_unit_devices devices = {0};
    shm_unit_io_stat(text, n_bytes, &devices);
    check_devices(&devices);
    shm_unit_blkio(text, n_bytes, &devices, SHM_UNIT_READ_BYTES);
    shm_unit_blkio(text, n_bytes, &devices, SHM_UNIT_READS);
    check_devices(&devices);
    struct shm_unit_process process;
    if (shm_unit_process(text, n_bytes, &process))
        MUST(process.name_at > 0 && process.name_at + process.name_bytes < n_bytes,
             "a name outside the text");
    free(text);
    return 0;
}
