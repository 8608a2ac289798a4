/* SPDX-License-Identifier: Apache-2.0 */
/* For a C program that records events. */
#include "emit/emit.h"
