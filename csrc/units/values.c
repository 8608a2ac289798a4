/* SPDX-License-Identifier: Apache-2.0 */
#include "values.h"

#include <math.h>

#include "scan.h"

static void no_values(double *values, uint32_t n_values)
{
    for (uint32_t i = 0; i < n_values; i++)
        values[i] = (double)NAN;
}

void shm_unit_fields(const char *text, size_t n_bytes, double *values, uint32_t n_values)
{
    struct shm_scan scan = {text, text + n_bytes}, line, word;
    no_values(values, n_values);
    if (!shm_scan_line(&scan, &line))
        return;
    for (uint32_t i = 0; i < n_values && shm_scan_word(&line, &word); i++)
        shm_scan_number(word, &values[i]);
}

void shm_unit_keyed(const char *text, size_t n_bytes, const struct shm_unit_key *keys,
                    double *values, uint32_t n_values)
{
    struct shm_scan scan = {text, text + n_bytes}, line, key, word;
    no_values(values, n_values);
    while (shm_scan_line(&scan, &line)) {
        if (!shm_scan_word(&line, &key))
            continue;
        for (uint32_t i = 0; i < n_values; i++) {
            if (!shm_scan_is(&key, keys[i].name, keys[i].n_bytes))
                continue;
            values[i] = (double)NAN;
            if (shm_scan_word(&line, &word))
                shm_scan_number(word, &values[i]);
            break;
        }
    }
}

void shm_unit_pressure(const char *text, size_t n_bytes, double *values)
{
    static const char total[] = "total=";
    static const struct shm_unit_key kinds[SHM_UNIT_PRESSURES] = {{"some", 4}, {"full", 4}};
    struct shm_scan scan = {text, text + n_bytes}, line, kind, word;
    no_values(values, SHM_UNIT_PRESSURES);
    while (shm_scan_line(&scan, &line)) {
        if (!shm_scan_word(&line, &kind))
            continue;
        for (uint32_t i = 0; i < SHM_UNIT_PRESSURES; i++) {
            if (!shm_scan_is(&kind, kinds[i].name, kinds[i].n_bytes))
                continue;
            while (shm_scan_word(&line, &word)) {
                size_t n = sizeof total - 1;
                if ((size_t)(word.end - word.at) < n || memcmp(word.at, total, n) != 0)
                    continue;
                word.at += n;
                shm_scan_number(word, &values[i]);
            }
        }
    }
}

uint64_t shm_unit_lines(const char *text, size_t n_bytes)
{
    uint64_t n = 0;
    for (size_t i = 0; i < n_bytes; i++)
        n += text[i] == '\n';
    return n;
}
