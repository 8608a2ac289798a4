/* SPDX-License-Identifier: Apache-2.0 */
/* For a C program that describes its families and series. */
#include "lane/payload.h"
