/* SPDX-License-Identifier: MIT */
/* Where formatted text goes: to the console in pieces as large as possible, or into a buffer. */
#include <pv/console.h>
#include <pv/printf.h>
#include <pv/string.h>

#include "format.h"

/* Each pv_write may be an exit or several, so text is gathered first: most calls of pv_printf write once. */
struct gather {
    char text[256];
    size_t used;
    long error;
};

static void flush(struct gather *gather)
{
    if (gather->used > 0 && gather->error == 0) {
        long written = pv_write(gather->text, gather->used);
        if (written < 0)
            gather->error = written;
    }
    gather->used = 0;
}

static void take_gathering(void *state, const char *text, size_t size)
{
    struct gather *gather = state;
    while (size > 0) {
        size_t room = sizeof gather->text - gather->used;
        size_t piece = size < room ? size : room;
        memcpy(gather->text + gather->used, text, piece);
        gather->used += piece;
        text += piece;
        size -= piece;
        if (gather->used == sizeof gather->text)
            flush(gather);
    }
}

int pv_vprintf(const char *format, va_list arguments)
{
    struct gather gather = {.used = 0};
    int length = pv_format(take_gathering, &gather, format, arguments);
    flush(&gather);
    return gather.error != 0 ? (int)gather.error : length;
}

int pv_printf(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = pv_vprintf(format, arguments);
    va_end(arguments);
    return result;
}

struct buffer {
    char *at;
    size_t room; /* without the NUL */
};

static void take_buffering(void *state, const char *text, size_t size)
{
    struct buffer *buffer = state;
    size_t piece = size < buffer->room ? size : buffer->room;
    memcpy(buffer->at, text, piece);
    buffer->at += piece;
    buffer->room -= piece;
}

int pv_vsnprintf(char *buf, size_t size, const char *format, va_list arguments)
{
    struct buffer buffer = {.at = buf, .room = size > 0 ? size - 1 : 0};
    int length = pv_format(take_buffering, &buffer, format, arguments);
    if (size > 0)
        *buffer.at = '\0';
    return length;
}

int pv_snprintf(char *buf, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = pv_vsnprintf(buf, size, format, arguments);
    va_end(arguments);
    return length;
}
