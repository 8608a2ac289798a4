/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzing of numbers and label values as text: what was written reads back as what it was, and takes no
 * more room than was promised. */
#include "program.h"
#include "render/text.h"

#include <math.h>

/* The number that a text says. Frees the text. */
static double read_back(char *text, const char *end)
{
    char terminated[SHM_TEXT_NUMBER_BYTES + 1];
    size_t n = (size_t)(end - text);
    MUST(n >= 1 && n <= SHM_TEXT_NUMBER_BYTES, "a number of another length");
    memcpy(terminated, text, n);
    terminated[n] = '\0';
    free(text);
    char *rest;
    double value = strtod(terminated, &rest);
    MUST(*rest == '\0', "not a number");
    return value;
}

/* Memory of exactly this size: AddressSanitizer watches its end. */
static char *exactly(size_t n_bytes)
{
    char *memory = malloc(n_bytes);
    MUST(memory || n_bytes == 0, "no memory");
    return memory;
}

static void check_numbers(const uint8_t *data)
{
    double value;
    uint64_t count;
    memcpy(&value, data, sizeof value);
    memcpy(&count, data, sizeof count);
    char *text = exactly(SHM_TEXT_NUMBER_BYTES);
    double found = read_back(text, shm_text_number(text, value));
    MUST(isnan(value) ? isnan(found) : found == value && !signbit(found) == !signbit(value),
         "a number is another one");
    text = exactly(SHM_TEXT_NUMBER_BYTES);
    MUST(read_back(text, shm_text_count(text, count)) == (double)count, "a count is another one");
}

static void check_escape(const uint8_t *data, size_t n_bytes)
{
    char *text = exactly(2 * n_bytes);
    const char *end = shm_text_escape(text, (const char *)data, n_bytes);
    const char *at = text;
    for (size_t i = 0; i < n_bytes; i++) {
        bool is_escaped = *at == '\\';
        char byte = is_escaped ? *++at : *at;
        MUST(is_escaped ? byte == '\\' || byte == '"' || byte == 'n' : byte != '"' && byte != '\n',
             "not escaped as Prometheus wants it");
        MUST((is_escaped && byte == 'n' ? '\n' : byte) == (char)data[i], "another text");
        at++;
    }
    MUST(at == end, "more text than there was");
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes >= sizeof(double))
        check_numbers(data);
    check_escape(data, n_bytes);
    return 0;
}
