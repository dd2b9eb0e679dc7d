/* SPDX-License-Identifier: MIT */
/*
 * Two programs in one, by the command line. The `server` waits for questions and answers them, the `client` looks for it
 * and asks; both by frames of their own kind. A frame may be lost, so whoever waits for an answer asks again after a while.
 * Without a role the program sends to nobody, so that `pvisor compare network` can count what a frame costs.
 */
#include <stdbool.h>

#include <pv/console.h>
#include <pv/interrupt.h>
#include <pv/net.h>
#include <pv/power.h>
#include <pv/printf.h>
#include <pv/start.h>
#include <pv/string.h>
#include <pv/timer.h>

#define N_QUESTIONS 20
#define PATIENCE_NS 2000000
#define MAX_TRIES   1000

/* Functions that are called once, and still are not to vanish in main. */
#define WATCHED __attribute__((noinline))

enum kind { HELLO, WELCOME, QUESTION, ANSWER, GOODBYE };

/* A frame; its type is one that IEEE has left for experiments. */
struct message {
    uint8_t to[6], from[6];
    uint8_t type[2];
    uint8_t kind;
    uint8_t number;
    uint8_t words[1000];
};

#define HEAD_BYTES 16
static const uint8_t own_type[2] = {0x88, 0xb5};
static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static struct message outgoing, incoming;
static volatile bool is_late;

static void need(bool well, const char *what)
{
    if (!well)
        pv_crash(what);
}

static void print_address(const char *what, const uint8_t *a)
{
    pv_printf("%s %02x:%02x:%02x:%02x:%02x:%02x\n", what, a[0], a[1], a[2], a[3], a[4], a[5]);
}

WATCHED void send(const uint8_t *to, enum kind kind, uint8_t number)
{
    memcpy(outgoing.to, to, 6);
    memcpy(outgoing.type, own_type, 2);
    outgoing.kind = (uint8_t)kind;
    outgoing.number = number;
    need(pv_net_send(&outgoing, kind == QUESTION || kind == ANSWER ? sizeof outgoing : HEAD_BYTES) == 0, "not sent");
}

static void wake(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame; /* an interrupt ends the sleep: that is all it is for */
}

static void become_late(void *context, struct pv_trap_frame *frame)
{
    (void)context, (void)frame;
    is_late = true;
}

/* Wait for a message of ours. False: it takes too long. Interrupts are off but in the sleep, so no signal is lost. */
WATCHED bool receive(void)
{
    while (!is_late) {
        long n_bytes = pv_net_receive(&incoming, sizeof incoming);
        if (n_bytes == 0)
            pv_interrupts_wait();
        else if (n_bytes >= HEAD_BYTES && memcmp(incoming.type, own_type, 2) == 0)
            return true;
    }
    return false;
}

/* Send, and send again, until an answer of that KIND and NUMBER has come. */
static void ask(const uint8_t *to, enum kind question, enum kind answer, uint8_t number)
{
    for (unsigned i = 0; i < MAX_TRIES; i++) {
        is_late = false;
        pv_timer_set(PATIENCE_NS, become_late, NULL);
        send(to, question, number);
        while (receive())
            if (incoming.kind == answer && incoming.number == number) {
                pv_timer_cancel();
                return;
            }
    }
    pv_crash("nobody answers");
}

static uint8_t sum_of(const struct message *message)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < sizeof message->words; i++)
        sum = (uint8_t)(sum * 3 + message->words[i]);
    return sum;
}

static void client(void)
{
    uint8_t server[6];
    unsigned n_right = 0;
    ask(everybody, HELLO, WELCOME, 0);
    memcpy(server, incoming.from, 6);
    print_address("client: there is a server at", server);
    for (uint8_t i = 0; i < N_QUESTIONS; i++) {
        for (size_t at = 0; at < sizeof outgoing.words; at++)
            outgoing.words[at] = (uint8_t)(at * 5 + i);
        ask(server, QUESTION, ANSWER, i);
        n_right += incoming.words[0] == sum_of(&outgoing);
    }
    pv_printf("client: asked %u questions of %zu bytes, %u answers are right\n", N_QUESTIONS, sizeof outgoing.words,
              n_right);
    ask(server, GOODBYE, GOODBYE, 0);
    pv_puts("client: goodbye");
}

static void server(void)
{
    uint64_t answered = 0;
    for (;;) {
        receive();
        switch (incoming.kind) {
        case HELLO:
            print_address("server: welcome,", incoming.from);
            send(incoming.from, WELCOME, 0);
            break;
        case QUESTION:
            outgoing.words[0] = sum_of(&incoming);
            answered |= 1ull << incoming.number; /* the same question may come twice */
            send(incoming.from, ANSWER, incoming.number);
            break;
        case GOODBYE:
            send(incoming.from, GOODBYE, 0);
            pv_printf("server: answered %d questions, goodbye\n", __builtin_popcountll(answered));
            return;
        }
    }
}

static void alone(void)
{
    for (uint8_t i = 0; i < N_QUESTIONS; i++)
        send(everybody, QUESTION, i);
    need(pv_net_receive(&incoming, sizeof incoming) == 0, "who is there?");
    pv_printf("Sent %u frames of %zu bytes to everybody, and nobody is there.\n", N_QUESTIONS, sizeof outgoing);
    pv_puts("A role on the command line, server or client, makes it a conversation.");
}

static bool has_role(const char *role)
{
    return strlen(pv_cmdline()) == strlen(role) && memcmp(pv_cmdline(), role, strlen(role)) == 0;
}

int main(void)
{
    if (pv_net_mac(outgoing.from) != 0) {
        pv_puts("There is no network card.");
        return 1;
    }
    pv_net_on_receive(wake, NULL);
    if (has_role("server"))
        server();
    else if (has_role("client"))
        client();
    else
        alone();
    return 0;
}
