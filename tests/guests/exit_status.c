/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ends with the status that the command line names. */
#include "arguments.h"

int main(void)
{
    return (int)argument(0, 0);
}
