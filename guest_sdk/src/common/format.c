/* SPDX-License-Identifier: MIT */
/* Formatting: reads a format and its arguments, hands over text. Where the text goes is printf.c's business. */
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include <pv/string.h>

#include "format.h"

/* One conversion, such as %-08.3lx. */
struct spec {
    bool left, plus, space, alternate, zero;
    int width;
    int precision; /* -1: none was given */
    int size;      /* bytes of an integer argument */
    char conversion;
};

struct output {
    pv_taker *take;
    void *state;
    size_t length;
    va_list arguments; /* those that have not been used yet */
};

static void emit(struct output *out, const char *text, size_t size)
{
    if (size > 0)
        out->take(out->state, text, size);
    out->length += size;
}

static void repeat(struct output *out, char c, int count)
{
    char chunk[16];
    memset(chunk, c, sizeof chunk);
    for (; count > 0; count -= (int)sizeof chunk)
        emit(out, chunk, count < (int)sizeof chunk ? (size_t)count : sizeof chunk);
}

static void emit_text(struct output *out, const struct spec *spec, const char *text, size_t size)
{
    int padding = (size_t)spec->width > size ? spec->width - (int)size : 0;
    if (!spec->left)
        repeat(out, ' ', padding);
    emit(out, text, size);
    if (spec->left)
        repeat(out, ' ', padding);
}

/* SIGN is "-", "+", " ", "0x", "0X" or "". */
static void emit_number(struct output *out, const struct spec *spec, uint64_t value, unsigned base, const char *sign)
{
    const char *digit_set = spec->conversion == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    char digits[22]; /* 64 bits in octal */
    size_t start = sizeof digits;
    for (uint64_t rest = value; rest != 0; rest /= base)
        digits[--start] = digit_set[rest % base];
    int n_digits = (int)(sizeof digits - start);
    int least = spec->precision < 0 ? 1 : spec->precision;
    int zeros = least > n_digits ? least - n_digits : 0;
    if (base == 8 && spec->alternate && zeros == 0)
        zeros = n_digits == 0 || digits[start] != '0';
    int padding = spec->width - zeros - n_digits - (int)strlen(sign);
    if (spec->zero && !spec->left && spec->precision < 0 && padding > 0) {
        zeros += padding;
        padding = 0;
    }
    if (!spec->left)
        repeat(out, ' ', padding);
    emit(out, sign, strlen(sign));
    repeat(out, '0', zeros);
    emit(out, digits + start, (size_t)n_digits);
    if (spec->left)
        repeat(out, ' ', padding);
}

/* The digits at *FORMAT as a number; too large a one stays at INT_MAX. */
static int read_number(const char **format)
{
    int number = 0;
    for (; **format >= '0' && **format <= '9'; (*format)++) {
        int digit = **format - '0';
        number = number > (INT_MAX - digit) / 10 ? INT_MAX : number * 10 + digit;
    }
    return number;
}

static void read_flags(const char **format, struct spec *spec)
{
    for (;; (*format)++) {
        switch (**format) {
        case '-': spec->left = true; break;
        case '+': spec->plus = true; break;
        case ' ': spec->space = true; break;
        case '#': spec->alternate = true; break;
        case '0': spec->zero = true; break;
        default: return;
        }
    }
}

static void read_size(const char **format, struct spec *spec)
{
    const char *at = *format;
    spec->size = sizeof(int);
    switch (*at) {
    case 'h':
        spec->size = at[1] == 'h' ? sizeof(char) : sizeof(short);
        break;
    case 'l':
    case 'z':
    case 't':
    case 'j':
        spec->size = sizeof(long);
        break;
    default:
        return;
    }
    *format += (at[0] == 'h' || at[0] == 'l') && at[1] == at[0] ? 2 : 1;
}

static int64_t narrow_signed(int64_t value, int size)
{
    return size == 1 ? (int8_t)value : size == 2 ? (int16_t)value : value;
}

static uint64_t narrow_unsigned(uint64_t value, int size)
{
    return size == 1 ? (uint8_t)value : size == 2 ? (uint16_t)value : size == 4 ? (uint32_t)value : value;
}

/* What stands between the % and the end of the conversion; its * arguments are taken. */
static struct spec read_spec(const char **format, struct output *out)
{
    struct spec spec = {.precision = -1};
    read_flags(format, &spec);
    if (**format == '*') {
        (*format)++;
        spec.width = va_arg(out->arguments, int);
        if (spec.width < 0) {
            spec.left = true;
            spec.width = spec.width == INT_MIN ? INT_MAX : -spec.width;
        }
    } else {
        spec.width = read_number(format);
    }
    if (**format == '.') {
        (*format)++;
        if (**format == '*') {
            (*format)++;
            spec.precision = va_arg(out->arguments, int);
        } else {
            spec.precision = read_number(format);
        }
    }
    read_size(format, &spec);
    spec.conversion = **format;
    if (spec.conversion != '\0')
        (*format)++;
    return spec;
}

static void convert_signed(struct output *out, const struct spec *spec)
{
    int64_t value = spec->size == 8 ? va_arg(out->arguments, int64_t) : va_arg(out->arguments, int);
    value = narrow_signed(value, spec->size);
    uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;
    const char *sign = value < 0 ? "-" : spec->plus ? "+" : spec->space ? " " : "";
    emit_number(out, spec, magnitude, 10, sign);
}

static void convert_unsigned(struct output *out, const struct spec *spec)
{
    uint64_t value = spec->size == 8 ? va_arg(out->arguments, uint64_t) : va_arg(out->arguments, unsigned);
    value = narrow_unsigned(value, spec->size);
    unsigned base = spec->conversion == 'u' ? 10 : spec->conversion == 'o' ? 8 : 16;
    bool has_prefix = base == 16 && spec->alternate && value != 0;
    emit_number(out, spec, value, base, !has_prefix ? "" : spec->conversion == 'X' ? "0X" : "0x");
}

static void convert_pointer(struct output *out, const struct spec *spec)
{
    uint64_t address = (uintptr_t)va_arg(out->arguments, void *);
    if (address == 0)
        emit_text(out, spec, "(nil)", 5);
    else
        emit_number(out, spec, address, 16, "0x");
}

static void convert_char(struct output *out, const struct spec *spec)
{
    char c = (char)va_arg(out->arguments, int);
    emit_text(out, spec, &c, 1);
}

static void convert_string(struct output *out, const struct spec *spec)
{
    const char *text = va_arg(out->arguments, const char *);
    if (text == NULL)
        text = spec->precision < 0 || spec->precision >= 6 ? "(null)" : "";
    size_t size = 0;
    while ((spec->precision < 0 || size < (size_t)spec->precision) && text[size] != '\0')
        size++;
    emit_text(out, spec, text, size);
}

int pv_format(pv_taker *take, void *state, const char *format, va_list arguments)
{
    struct output out = {.take = take, .state = state};
    va_copy(out.arguments, arguments);
    while (*format != '\0') {
        if (*format != '%') {
            size_t size = 1;
            while (format[size] != '\0' && format[size] != '%')
                size++;
            emit(&out, format, size);
            format += size;
            continue;
        }
        const char *start = format++;
        struct spec spec = read_spec(&format, &out);
        switch (spec.conversion) {
        case 'd':
        case 'i': convert_signed(&out, &spec); break;
        case 'u':
        case 'o':
        case 'x':
        case 'X': convert_unsigned(&out, &spec); break;
        case 'p': convert_pointer(&out, &spec); break;
        case 'c': convert_char(&out, &spec); break;
        case 's': convert_string(&out, &spec); break;
        case '%': emit(&out, "%", 1); break;
        default: emit(&out, start, (size_t)(format - start));
        }
    }
    va_end(out.arguments);
    return (int)out.length;
}
