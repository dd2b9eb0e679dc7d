/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 8259 pair in C: inputs, acknowledgement, the mask, OCW2 and OCW3, and reads. Initialisation and the poll
 * command are left to full/pic.py, whose functions these are.
 */
#include "full/native/controllers.h"

enum { MASTER = 0x20, SLAVE = 0xa0, CASCADE = 2, SPURIOUS = 7, NONE = 8 };
enum { ICW1 = 0x10, OCW3 = 0x08 };
enum { OCW3_RIS = 0x01, OCW3_RR = 0x02, OCW3_POLL = 0x04, OCW3_SMM = 0x20, OCW3_ESMM = 0x40 };
enum { OCW2_EOI = 0x20, OCW2_SPECIFIC = 0x40, OCW2_ROTATE = 0x80 };

static uint32_t requests(const pv_pic_chip *chip)
{
    return (chip->edges & ~chip->elcr) | (chip->levels & chip->elcr);
}

/* The highest priority among inputs given as bits, 0 being the best; NONE when there are none. */
static uint32_t rank_of(const pv_pic_chip *chip, uint32_t inputs)
{
    if (!inputs)
        return NONE;
    return (uint32_t)__builtin_ctz((inputs << 8 | inputs) >> chip->highest & 0xff);
}

static uint32_t input_of(const pv_pic_chip *chip, uint32_t rank)
{
    return (rank + chip->highest) & 7;
}

/* The input that INT stands for, or NONE when INT is low. */
static uint32_t wanted(const struct controllers *c, const pv_pic_chip *chip)
{
    if (chip->awaits || chip->is_accepting)
        return NONE;
    uint32_t rank = rank_of(chip, requests(chip) & ~chip->mask);
    uint32_t limit = rank_of(chip, chip->is_special_mask ? chip->in_service & ~chip->mask : chip->in_service);
    if (rank < limit)
        return input_of(chip, rank);
    bool is_nested = chip == &c->pic->chips[0] && chip->is_special_nested && input_of(chip, rank) == CASCADE;
    return is_nested && rank == limit && limit < NONE ? CASCADE : NONE;
}

/* INT of the master goes to LINT0, and that of the slave to the master. */
static void changed(struct controllers *c, const pv_pic_chip *chip);

static void set_level(struct controllers *c, pv_pic_chip *chip, uint32_t input, bool level)
{
    uint32_t bit = 1u << input;
    if (!(chip->levels & bit) == !level)
        return;
    chip->levels ^= bit;
    if (level)
        chip->edges |= bit;
    else
        chip->edges &= ~(bit & chip->elcr);
    changed(c, chip);
}

static void changed(struct controllers *c, const pv_pic_chip *chip)
{
    pv_pic *pic = c->pic;
    if (chip == &pic->chips[1]) {
        set_level(c, &pic->chips[0], CASCADE, wanted(c, chip) != NONE);
        return;
    }
    uint32_t level = wanted(c, chip) != NONE;
    if (level != pic->has_output) {
        pic->has_output = level;
        apic_lint0(c, level);
    }
}

void pic_set_level(struct controllers *c, uint32_t irq, bool level)
{
    if (irq != CASCADE) /* which leads nowhere */
        set_level(c, &c->pic->chips[irq >> 3], irq & 7, level);
}

/* The acknowledge cycle of one chip. INT falls in it, and rises again if there is more. */
static uint32_t accept(struct controllers *c, pv_pic_chip *chip)
{
    uint32_t input = wanted(c, chip);
    if (input == NONE)
        return NONE;
    chip->is_accepting = 1;
    changed(c, chip);
    chip->is_accepting = 0;
    chip->edges &= ~(1u << input);
    if (!chip->has_auto_eoi)
        chip->in_service |= 1u << input;
    else if (chip->rotates_in_auto_eoi)
        chip->highest = (input + 1) & 7;
    changed(c, chip);
    return input;
}

uint32_t pic_acknowledge(struct controllers *c)
{
    pv_pic_chip *chip = &c->pic->chips[0];
    uint32_t input = accept(c, chip);
    if (input == CASCADE) {
        chip = &c->pic->chips[1];
        input = accept(c, chip);
    }
    return chip->vector_base | (input == NONE ? SPURIOUS : input);
}

/* --- the I/O ports */

static pv_pic_chip *chip_at(struct engine *e, uint32_t ioport)
{
    pv_pic *pic = e->v.device[PV_DEVICE_PIC];
    return pic ? &pic->chips[ioport >= SLAVE] : NULL;
}

static bool read_chip(struct engine *e)
{
    pv_exit *x = &e->v.exit;
    const pv_pic_chip *chip = chip_at(e, x->ioport);
    if (!chip || x->size_bytes != 1 || chip->is_polled)
        return false;
    x->value = x->ioport & 1 ? chip->mask : chip->reads_isr ? chip->in_service : requests(chip);
    return true;
}

/* The eight forms of the data sheet's OCW2 table. */
static void write_ocw2(pv_pic_chip *chip, uint32_t value)
{
    uint32_t input = value & 7;
    if (!(value & OCW2_EOI)) {
        if (!(value & OCW2_SPECIFIC))
            chip->rotates_in_auto_eoi = (value & OCW2_ROTATE) != 0;
        else if (value & OCW2_ROTATE)
            chip->highest = (input + 1) & 7;
        return;
    }
    if (!(value & OCW2_SPECIFIC)) {
        uint32_t ending = chip->is_special_mask ? chip->in_service & ~chip->mask : chip->in_service;
        if (!ending)
            return;
        input = input_of(chip, rank_of(chip, ending));
    }
    chip->in_service &= ~(1u << input);
    if (value & OCW2_ROTATE)
        chip->highest = (input + 1) & 7;
}

static void write_ocw3(pv_pic_chip *chip, uint32_t value)
{
    if (value & OCW3_RR)
        chip->reads_isr = value & OCW3_RIS;
    if (value & OCW3_ESMM)
        chip->is_special_mask = (value & OCW3_SMM) != 0;
}

static bool write_chip(struct engine *e)
{
    const pv_exit *x = &e->v.exit;
    pv_pic_chip *chip = chip_at(e, x->ioport);
    struct controllers c;
    uint32_t value = (uint32_t)x->value;
    bool is_data = x->ioport & 1;
    if (!chip || x->size_bytes != 1 || chip->awaits || (!is_data && value & ICW1))
        return false;
    if (!is_data && value & OCW3 && value & OCW3_POLL)
        return false;
    if (!begin_change(e, &c))
        return false;
    if (is_data)
        chip->mask = value;
    else if (value & OCW3)
        write_ocw3(chip, value);
    else
        write_ocw2(chip, value);
    changed(&c, chip);
    return end_change(e, &c);
}

const struct native full_pic_natives[] = {
    {"pic_read", PV_EXIT_IO_IN, MASTER, 2, read_chip},
    {"pic_read_slave", PV_EXIT_IO_IN, SLAVE, 2, read_chip},
    {"pic_write", PV_EXIT_IO_OUT, MASTER, 2, write_chip},
    {"pic_write_slave", PV_EXIT_IO_OUT, SLAVE, 2, write_chip},
};
const uint32_t n_full_pic_natives = sizeof full_pic_natives / sizeof full_pic_natives[0];
