/* JSON, read from left to right. A text that is none sets `failed`, and everything then ends. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum { DEEPEST = 64 };

static void skip_space(json *text)
{
    while (text->at < text->end && memchr(" \t\n\r", *text->at, 4))
        text->at++;
}

static int is(json *text, char character)
{
    skip_space(text);
    return !text->failed && text->at < text->end && *text->at == character;
}

static int take(json *text, char character)
{
    if (!is(text, character))
        return 0;
    text->at++;
    return 1;
}

/* Whether there is a further item of the object or array that begins here, where `*first` is 1:
 *     for (int first = 1; json_next(&text, '{', &first);) { ... } */
int json_next(json *text, char opening, int *first)
{
    char closing = opening == '{' ? '}' : ']';
    int was_first = *first;
    *first = 0;
    if (was_first && !take(text, opening))
        text->failed = 1;
    if (text->failed || take(text, closing))
        return 0;
    if (!was_first && !take(text, ','))
        text->failed = 1;
    return !text->failed;
}

static unsigned hexadecimal(json *text)
{
    unsigned value = 0;
    for (int k = 0; k < 4; k++, text->at++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *found = text->at < text->end ? memchr(digits, *text->at, 32) : NULL;
        if (!found) {
            text->failed = 1;
            return 0;
        }
        value = value * 16 + (unsigned)(found - digits) % 16;
    }
    return value;
}

/* The character of an escape, which begins behind the backslash. */
static unsigned escaped(json *text)
{
    const char *names = "\"\\/bfnrt", *values = "\"\\/\b\f\n\r\t";
    char c = text->at < text->end ? *text->at++ : 0;
    if (c != 'u') {
        const char *found = c ? strchr(names, c) : NULL;
        text->failed |= !found;
        return found ? (unsigned char)values[found - names] : 0;
    }
    unsigned high = hexadecimal(text);
    if (high < 0xd800 || high > 0xdbff)
        return high;
    if (text->end - text->at < 6 || text->at[0] != '\\' || text->at[1] != 'u') {
        text->failed = 1;
        return 0;
    }
    text->at += 2;
    return 0x10000 + ((high - 0xd800) << 10) + ((hexadecimal(text) - 0xdc00) & 0x3ff);
}

static char *put(char *to, unsigned c)
{
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned leads[] = {0, 0xc0, 0xe0, 0xf0};
    *to++ = (char)(leads[more] | (c >> 6 * more));
    while (more-- > 0)
        *to++ = (char)(0x80 | (c >> 6 * more & 0x3f));
    return to;
}

/* The string that begins here, to be freed, without zeros in it; NULL where there is none. */
char *json_string(json *text)
{
    if (!take(text, '"')) {
        text->failed = 1;
        return NULL;
    }
    const char *end = text->at;
    while (end < text->end && *end != '"')
        end += *end == '\\' && end + 1 < text->end ? 2 : 1;
    char *found = end < text->end ? malloc((size_t)(end - text->at) + 1) : NULL, *to = found;
    text->failed |= !found;
    while (found && !text->failed && text->at < end) {
        unsigned char c = (unsigned char)*text->at++;
        unsigned full = c == '\\' ? escaped(text) : c;
        text->failed |= full == 0 || (c != '\\' && c < ' ') || text->at > end;
        if (c == '\\')
            to = put(to, full);
        else
            *to++ = (char)c;
    }
    if (text->failed) {
        free(found);
        return NULL;
    }
    *to = 0;
    text->at = end + 1;
    return found;
}

/* Go behind the number that begins here. */
static void number(json *text)
{
    char digits[64];
    size_t count = 0;
    skip_space(text);
    while (text->at < text->end && count < sizeof digits - 1 && *text->at &&
           strchr("+-.0123456789eE", *text->at))
        digits[count++] = *text->at++;
    digits[count] = 0;
    char *end;
    strtod(digits, &end);
    text->failed |= count == 0 || *end;
}

/* The whole number from 0 that begins here. */
uint64_t json_count(json *text)
{
    uint64_t value = 0;
    skip_space(text);
    const char *begin = text->at;
    for (; text->at < text->end && *text->at >= '0' && *text->at <= '9'; text->at++) {
        unsigned digit = (unsigned)(*text->at - '0');
        text->failed |= value > (UINT64_MAX - digit) / 10;
        value = value * 10 + digit;
    }
    text->failed |= begin == text->at;
    return value;
}

/* The key that begins here, to be freed, and the colon behind it. */
char *json_key(json *text)
{
    char *key = json_string(text);
    text->failed |= !take(text, ':');
    return key;
}

/* Go behind the value that begins here. */
void json_skip(json *text, int depth)
{
    char opening = is(text, '{') ? '{' : '[';
    if (is(text, '"')) {
        free(json_string(text));
    } else if (is(text, '{') || is(text, '[')) {
        text->failed |= depth > DEEPEST;
        for (int first = 1; !text->failed && json_next(text, opening, &first);) {
            if (opening == '{')
                free(json_key(text));
            json_skip(text, depth + 1);
        }
    } else {
        const char *words[] = {"true", "false", "null", "NaN", "Infinity", "-Infinity"};
        for (size_t k = 0; k < sizeof words / sizeof *words; k++) {
            size_t length = strlen(words[k]);
            if ((size_t)(text->end - text->at) >= length &&
                memcmp(text->at, words[k], length) == 0) {
                text->at += length;
                return;
            }
        }
        number(text);
    }
}
