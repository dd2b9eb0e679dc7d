/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What paging.c gives to the rooms that lead between kernel and user code. */
#ifndef PV_PARA_PAGING_H
#define PV_PARA_PAGING_H
#include "para/native/frames.h"

void enter_user(struct engine *e);
void enter_kernel(struct engine *e);
#endif
