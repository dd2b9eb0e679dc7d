/* SPDX-License-Identifier: GPL-2.0-or-later */
/* user_paging.c once more, with the 64-bit entries of PAE in a 32-bit kernel. */
#define PAE
#include "user_paging.c"
