/* SPDX-License-Identifier: Apache-2.0 */
#include "devices.h"

#include <math.h>

#include "scan.h"

/* Takes a word of the form 8:0. Returns false if it is none. */
static bool is_number(struct shm_scan word, uint32_t *major, uint32_t *minor)
{
    uint64_t first, second;
    if (!shm_scan_digits(&word, &first) || word.at == word.end || *word.at++ != ':' ||
        !shm_scan_digits(&word, &second) || word.at != word.end || first > UINT32_MAX ||
        second > UINT32_MAX)
        return false;
    *major = (uint32_t)first;
    *minor = (uint32_t)second;
    return true;
}

/* Returns the row of a device, made if there is none yet; NULL: there is no room. */
static struct shm_unit_device *row_of(struct shm_unit_devices *devices, uint32_t major,
                                      uint32_t minor)
{
    for (uint32_t i = 0; i < devices->n; i++) {
        struct shm_unit_device *row = &devices->rows[i];
        if (row->major == major && row->minor == minor)
            return row;
    }
    if (devices->n == SHM_UNIT_DEVICES) {
        devices->left_out++;
        return NULL;
    }
    struct shm_unit_device *row = &devices->rows[devices->n++];
    *row = (struct shm_unit_device){.major = major, .minor = minor};
    for (uint32_t i = 0; i < SHM_UNIT_COLUMNS; i++)
        row->values[i] = (double)NAN;
    return row;
}

/* Puts key=value into its column, if it is one that is wanted. */
static void put_pair(struct shm_unit_device *row, struct shm_scan word)
{
    static const char *const names[SHM_UNIT_COLUMNS] = {"rbytes=", "wbytes=", "rios=", "wios="};
    for (uint32_t i = 0; i < SHM_UNIT_COLUMNS; i++) {
        size_t n = strlen(names[i]);
        if ((size_t)(word.end - word.at) >= n && memcmp(word.at, names[i], n) == 0) {
            word.at += n;
            shm_scan_number(word, &row->values[i]);
            return;
        }
    }
}

void shm_unit_io_stat(const char *text, size_t n_bytes, struct shm_unit_devices *devices)
{
    struct shm_scan scan = {text, text + n_bytes}, line, word;
    while (shm_scan_line(&scan, &line)) {
        uint32_t major = 0, minor = 0;
        bool has_number = false;
        struct shm_unit_device *row = NULL;
        while (shm_scan_word(&line, &word)) {
            if (is_number(word, &major, &minor)) {
                has_number = true;
                row = NULL;
            } else if (has_number && row == NULL) {
                row = row_of(devices, major, minor);
                has_number = row != NULL;
            }
            if (row != NULL)
                put_pair(row, word);
        }
    }
}

void shm_unit_blkio(const char *text, size_t n_bytes, struct shm_unit_devices *devices,
                    uint32_t column)
{
    struct shm_scan scan = {text, text + n_bytes}, line, word;
    while (shm_scan_line(&scan, &line)) {
        uint32_t major, minor;
        if (!shm_scan_word(&line, &word) || !is_number(word, &major, &minor) ||
            !shm_scan_word(&line, &word))
            continue;
        bool is_read = shm_scan_is(&word, "Read", 4);
        if (!is_read && !shm_scan_is(&word, "Write", 5))
            continue;
        struct shm_unit_device *row = row_of(devices, major, minor);
        if (row != NULL && shm_scan_word(&line, &word))
            shm_scan_number(word, &row->values[column + (is_read ? 0u : 1u)]);
    }
}
