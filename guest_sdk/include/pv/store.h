/* SPDX-License-Identifier: MIT */
/*
 * The store, which para and hybrid guests have: a tree of names with small values, kept by the hypervisor, by which
 * domains and backends find each other. The hypercalls behind it are pv_store_read and so on (pv/hypercall.h); the
 * functions here take C strings.
 *
 * A path is names with slashes between them. It begins with a slash, or goes from the domain's home: "device/net/0" is
 * "/domain/3/device/net/0" in domain 3, and "" is the home. A value has at most PV_STORE_VALUE_MAX bytes.
 *
 * TRANSACTION is 0, or what pv_store_begin returned: then nobody sees the changes before pv_store_end(TRANSACTION, 1),
 * which returns -PV_EAGAIN, and has changed nothing, when somebody else's change came in between.
 *
 * No function here waits. Each may be called anywhere, from handlers too. Errors are those of the hypercall, unless a
 * function says otherwise: -PV_ENOENT (there is no such node), -PV_EPERM (this domain may not), -PV_EINVAL (no path, or
 * no such transaction), -PV_ENOSPC (a limit is reached).
 */
#ifndef PV_STORE_H
#define PV_STORE_H

#include <stddef.h>
#include <stdint.h>

#include <pv/hypercall.h>

/*
 * Read a value as a text: it is put into VALUE with a NUL behind it. Returns its length without that NUL; -PV_E2BIG
 * when it and the NUL need more than SIZE_BYTES, or another error; VALUE then holds "", unless SIZE_BYTES is 0.
 */
int64_t pv_store_get(uint32_t transaction, const char *path, char *value, size_t size_bytes);

/* Write a text, without its NUL. Makes the node, and those above it, if they are not there. Returns 0 or an error. */
int pv_store_put(uint32_t transaction, const char *path, const char *value);

/*
 * The same for a number, in decimal digits. Both return 0 or an error: pv_store_get_number -PV_EINVAL for a value that
 * is no number of 64 bits. After an error *NUMBER is as it was.
 */
int pv_store_get_number(uint32_t transaction, const char *path, uint64_t *number);
int pv_store_put_number(uint32_t transaction, const char *path, uint64_t number);

/* Remove a node and all below it. Returns 0 or an error. */
int pv_store_drop(uint32_t transaction, const char *path);

/*
 * The names directly below a node, each followed by a NUL, into NAMES. Returns how many bytes these are; -PV_E2BIG when
 * SIZE_BYTES do not hold them all, or another error; NAMES is then as it was.
 */
int64_t pv_store_names(uint32_t transaction, const char *path, char *names, size_t size_bytes);

/*
 * Let domain DOMID do what RIGHTS say with a node of this domain's and all below it: PV_STORE_READ, PV_STORE_WRITE,
 * both, PV_STORE_NONE, or PV_STORE_INHERIT (as the node above has it). Returns 0 or an error.
 */
int pv_store_allow(uint32_t transaction, const char *path, uint32_t domid, uint32_t rights);

/*
 * Be told of each change at PATH or below it, and once at the start. TOKEN, of at most PV_STORE_TOKEN_MAX bytes, comes
 * back with each event. Events raise PV_VIRQ_STORE (pv_event_bind_virq), and wait for pv_store_take.
 * Returns 0; -PV_EEXIST: this PATH and TOKEN are watched already; or another error.
 */
int pv_store_watch_path(const char *path, const char *token);

/* No longer. An event that waits is dropped. Returns 0; -PV_ENOENT: there is no such watch; or another error. */
int pv_store_unwatch_path(const char *path, const char *token);

/* An event: strings that lie in its own bytes. */
struct pv_store_event {
    char bytes[PV_STORE_EVENT_MAX];
    const char *path;  /* the absolute path of what has changed; of several changes, the node above them all */
    const char *token; /* the watch's */
};

/*
 * Take the event that has waited longest. Returns 0, or -PV_ENOENT: none waits. EVENT may not be copied: it points into
 * itself.
 */
int pv_store_take(struct pv_store_event *event);

#endif /* PV_STORE_H */
