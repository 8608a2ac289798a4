/* SPDX-License-Identifier: Apache-2.0 */
/* For a C program that asks for a lane. */
#include "emit/ask.h"
