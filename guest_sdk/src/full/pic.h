/* SPDX-License-Identifier: MIT */
/* The 8259 pair: sixteen interrupt lines, IRQ 0 to 15. */
#ifndef PV_SRC_PIC_H
#define PV_SRC_PIC_H

#include <stdbool.h>
#include <stdint.h>

/* Program both: IRQ 0 is vector FIRST_VECTOR, the others follow; all masked. */
void pv_pic_start(uint8_t first_vector);

/* Keep a line away, or let it through. */
void pv_pic_mask(int irq, bool is_masked);

/* Tell the controllers that IRQ has been taken. False: it was none, but the noise of a line that gave up. */
bool pv_pic_end(int irq);

/* Does IRQ 0 to 7 wait to be taken? */
bool pv_pic_is_pending(int irq);

#endif /* PV_SRC_PIC_H */
