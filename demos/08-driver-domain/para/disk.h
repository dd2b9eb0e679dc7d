/* SPDX-License-Identifier: MIT */
/* The disk behind the ring: requests in, sectors in memory, data in the frontend's pages. */
#ifndef DISK_H
#define DISK_H

#include <stdint.h>

#include <pv/abi.h>

#define N_SECTORS 2048u

/* Do what a request of domain DOMID says. Returns the status of its response: 0, or an error's number. */
uint32_t disk_do(uint32_t domid, const struct pv_block_request *request);

/* How many bytes a request moves, that was done. */
uint32_t disk_bytes_of(const struct pv_block_request *request);

#endif /* DISK_H */
