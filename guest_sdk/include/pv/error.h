/* SPDX-License-Identifier: MIT */
/*
 * Errors: a function that can fail returns 0 or more for success and a negative one of these for failure, -PV_EINVAL
 * for instance. The numbers are Linux's. Those that a hypercall can give stand in pv/abi.h; these are the SDK's own.
 */
#ifndef PV_ERROR_H
#define PV_ERROR_H

#include <pv/abi.h>

#define PV_ENODEV 19 /* the machine has no such device */
#define PV_ERANGE 34 /* beyond the end of the device */

#endif /* PV_ERROR_H */
