/* SPDX-License-Identifier: MIT */
/*
 * Errors: a function that can fail returns 0 or more for success and a negative one of these for failure, -PV_EINVAL
 * for instance. The numbers are Linux's; those that are part of the ABI stand in pv/abi.h as well, with the same value.
 */
#ifndef PV_ERROR_H
#define PV_ERROR_H

#define PV_ENOENT 2  /* nothing is there: that page is not mapped */
#define PV_EIO    5  /* the device reports a failure */
#define PV_ENOMEM 12 /* no page is left */
#define PV_EFAULT 14 /* an address that may not be used in that way */
#define PV_EBUSY  16 /* in use; try again when it is not */
#define PV_EEXIST 17 /* something is there already */
#define PV_ENODEV 19 /* the machine has no such device */
#define PV_EINVAL 22 /* an argument has a value outside its meaning */
#define PV_ERANGE 34 /* beyond the end of the device */

#endif /* PV_ERROR_H */
