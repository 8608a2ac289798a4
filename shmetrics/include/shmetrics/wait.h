/* SPDX-License-Identifier: Apache-2.0 */
/* For a C program that waits for an answer. */
#include "emit/wait.h"
