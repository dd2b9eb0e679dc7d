/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The i8042 and its keyboard, polled: commands and what they answer. Nobody types. */
#include "pc.h"

static void command(uint8_t value)
{
    outb(0x64, value);
}

static void data(uint8_t value)
{
    outb(0x60, value);
}

static void status(const char *name)
{
    show(name, inb(0x64));
}

static void answer(const char *name)
{
    show(name, inb(0x60));
}

static void controller(void)
{
    status("status at entry");
    command(0x20);
    status("with an answer");
    answer("command byte");
    status("without");
    command(0xd0);
    answer("output port");
    command(0xc0);
    answer("input port");
    command(0xaa);
    answer("self-test");
    command(0xab);
    answer("keyboard interface");
    command(0xa9);
    answer("mouse interface");
    command(0xad);
    command(0x20);
    answer("keyboard off");
    command(0xae);
    command(0xa8);
    command(0x20);
    answer("keyboard and mouse on");
    command(0xd2);
    data(0x99);
    status("status, put into the buffer");
    answer("it");
    command(0xd3);
    data(0x98);
    status("as the mouse's");
    answer("it");
    command(0xdf);
    command(0xd0);
    answer("output port, A20 on");
}

static void keyboard(void)
{
    data(0xee);
    answer("echo");
    data(0xf2);
    answer("identify");
    answer("first byte");
    answer("second byte");
    answer("nothing more");
    status("status");
    data(0xed);
    answer("lights");
    data(0);
    answer("off");
    data(0xf0);
    answer("scan set");
    data(0);
    answer("which");
    answer("it");
    data(0xf3);
    answer("typematic");
    data(0x20);
    answer("rate");
    data(0xf5);
    answer("disable");
    data(0xf4);
    answer("enable");
    data(0x11);
    answer("no such command");
    data(0xff);
    answer("reset");
    answer("self-test");
}

int main(void)
{
    controller();
    keyboard();
    command(0x60);
    data(0x21);
    command(0x20);
    answer("command byte, written");
    data(0xf2);
    inb(0x60);
    answer("untranslated");
    answer("second byte");
    return 0;
}
