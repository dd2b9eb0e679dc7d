/* SPDX-License-Identifier: MIT */
/* The store for C strings: requests made of them, and answers ended by NUL. */
#include <pv/error.h>
#include <pv/store.h>
#include <pv/string.h>

#define DIGITS_MAX 20 /* of 2^64 - 1 */

static struct pv_store_request request_of(uint32_t transaction, const char *path, const void *value, size_t size_bytes)
{
    size_t path_bytes = strlen(path);
    return (struct pv_store_request){
        .path = (uint64_t)(uintptr_t)path,
        .value = (uint64_t)(uintptr_t)value,
        .path_bytes = path_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)path_bytes,
        .value_bytes = size_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)size_bytes,
        .transaction = transaction,
    };
}

int64_t pv_store_get(uint32_t transaction, const char *path, char *value, size_t size_bytes)
{
    if (size_bytes == 0)
        return -PV_E2BIG;
    struct pv_store_request request = request_of(transaction, path, value, size_bytes - 1);
    int64_t n_bytes = pv_store_read(&request);
    value[n_bytes > 0 ? n_bytes : 0] = '\0';
    return n_bytes;
}

int pv_store_put(uint32_t transaction, const char *path, const char *value)
{
    struct pv_store_request request = request_of(transaction, path, value, strlen(value));
    return (int)pv_store_write(&request);
}

int pv_store_get_number(uint32_t transaction, const char *path, uint64_t *number)
{
    char digits[DIGITS_MAX + 1];
    int64_t n_digits = pv_store_get(transaction, path, digits, sizeof digits);
    if (n_digits <= 0)
        return n_digits == 0 || n_digits == -PV_E2BIG ? -PV_EINVAL : (int)n_digits;
    uint64_t value = 0;
    for (const char *digit = digits; digit < digits + n_digits; digit++) {
        if (*digit < '0' || *digit > '9' || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*digit - '0'), &value))
            return -PV_EINVAL;
    }
    *number = value;
    return 0;
}

int pv_store_put_number(uint32_t transaction, const char *path, uint64_t number)
{
    char digits[DIGITS_MAX + 1];
    char *first = digits + DIGITS_MAX;
    *first = '\0';
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return pv_store_put(transaction, path, first);
}

int pv_store_drop(uint32_t transaction, const char *path)
{
    struct pv_store_request request = request_of(transaction, path, NULL, 0);
    return (int)pv_store_remove(&request);
}

int64_t pv_store_names(uint32_t transaction, const char *path, char *names, size_t size_bytes)
{
    struct pv_store_request request = request_of(transaction, path, names, size_bytes);
    return pv_store_list(&request);
}

int pv_store_allow(uint32_t transaction, const char *path, uint32_t domid, uint32_t rights)
{
    struct pv_store_request request = request_of(transaction, path, NULL, 0);
    return (int)pv_store_permit(&request, domid, rights);
}

int pv_store_watch_path(const char *path, const char *token)
{
    struct pv_store_request request = request_of(0, path, token, strlen(token));
    return (int)pv_store_watch(&request);
}

int pv_store_unwatch_path(const char *path, const char *token)
{
    struct pv_store_request request = request_of(0, path, token, strlen(token));
    return (int)pv_store_unwatch(&request);
}

int pv_store_take(struct pv_store_event *event)
{
    struct pv_store_request request = request_of(0, "", event->bytes, sizeof event->bytes);
    int64_t n_bytes = pv_store_next(&request);
    if (n_bytes < 0)
        return (int)n_bytes;
    event->path = event->bytes;
    event->token = event->bytes + strlen(event->bytes) + 1;
    return 0;
}
