/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Says what it was given, and ends with the number of its arguments. */
#include "user.h"

int main(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		say("  hello: argument %d is %s", i, argv[i]);
	return argc;
}
