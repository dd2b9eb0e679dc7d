/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ctrl-C and SIGTERM. A signal must not stop an engine itself (an asynchronous uc_emu_stop can run an
 * instruction twice), so its handler sets flags and the block hook looks at them.
 */
#include "api.h"
#include "shim.h"

#include <signal.h>

enum { MAX_ENGINES = 256 };

static struct engine *volatile engines[MAX_ENGINES];
static volatile sig_atomic_t seen;
static struct sigaction before_int, before_term;
static bool installed;

bool track_for_signals(struct engine *e)
{
    for (int i = 0; i < MAX_ENGINES; i++) {
        struct engine *none = NULL;
        if (__atomic_compare_exchange_n(&engines[i], &none, e, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return true;
    }
    return false;
}

void untrack_for_signals(struct engine *e)
{
    for (int i = 0; i < MAX_ENGINES; i++) {
        struct engine *mine = e;
        __atomic_compare_exchange_n(&engines[i], &mine, NULL, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
}

static void on_signal(int number)
{
    seen = number;
    for (int i = 0; i < MAX_ENGINES; i++) {
        struct engine *e = engines[i];
        if (e) {
            __atomic_store_n(&e->v.kick, 1, __ATOMIC_SEQ_CST);
            __atomic_store_n(&e->v.limit, 0, __ATOMIC_SEQ_CST);
        }
    }
}

int pv_signals_install(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    seen = 0;
    if (sigaction(SIGINT, &action, &before_int) || sigaction(SIGTERM, &action, &before_term))
        return -1;
    installed = true;
    return 0;
}

void pv_signals_restore(void)
{
    if (!installed)
        return;
    sigaction(SIGINT, &before_int, NULL);
    sigaction(SIGTERM, &before_term, NULL);
    installed = false;
}

int pv_signal_seen(void)
{
    return seen;
}
