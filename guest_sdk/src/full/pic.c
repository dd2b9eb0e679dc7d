/* SPDX-License-Identifier: MIT */
/* The 8259 pair. Without a twin: an event channel needs no controller, and nobody wants to hear of its end. */
#include "pic.h"

#include "io.h"

#define MASTER       0x20
#define MASTER_DATA  0x21
#define SLAVE        0xa0
#define SLAVE_DATA   0xa1

#define ICW1_ICW4    0x11 /* edges, a cascade, and ICW4 follows */
#define ICW4_8086    0x01
#define CASCADE_IRQ  2
#define END          0x20 /* OCW2: of the highest in service */
#define READ_REQUEST 0x0a /* OCW3: the next read gives IRR */
#define READ_SERVICE 0x0b /* OCW3: the next read gives ISR */

static uint16_t masks; /* what both mask registers hold, so that a change needs no reading */

static void start_one(uint16_t command, uint8_t first_vector, uint8_t cascade)
{
    out8(command, ICW1_ICW4);
    out8(command + 1, first_vector);
    out8(command + 1, cascade);
    out8(command + 1, ICW4_8086);
}

void pv_pic_start(uint8_t first_vector)
{
    masks = (uint16_t)~(1u << CASCADE_IRQ);
    start_one(MASTER, first_vector, 1 << CASCADE_IRQ);
    start_one(SLAVE, first_vector + 8, CASCADE_IRQ);
    out8(MASTER_DATA, (uint8_t)masks);
    out8(SLAVE_DATA, (uint8_t)(masks >> 8));
}

void pv_pic_mask(int irq, bool is_masked)
{
    uint16_t line = (uint16_t)(1u << irq);
    masks = is_masked ? masks | line : masks & (uint16_t)~line;
    if (irq < 8)
        out8(MASTER_DATA, (uint8_t)masks);
    else
        out8(SLAVE_DATA, (uint8_t)(masks >> 8));
}

/* A request that is gone when the CPU asks for it is given out as line 7, and then line 7 is not in service. */
static bool is_noise(uint16_t command)
{
    out8(command, READ_SERVICE);
    return !(in8(command) & 0x80);
}

bool pv_pic_end(int irq)
{
    if (irq == 7 && is_noise(MASTER))
        return false;
    bool is_real = irq != 15 || !is_noise(SLAVE);
    if (irq >= 8 && is_real)
        out8(SLAVE, END);
    out8(MASTER, END);
    return is_real;
}

bool pv_pic_is_pending(int irq)
{
    out8(MASTER, READ_REQUEST);
    return in8(MASTER) >> irq & 1;
}
