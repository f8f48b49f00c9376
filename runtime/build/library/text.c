/* Texts that grow. Without memory `failed` is set, and nothing more is added. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

void add(text *to, const char *from, size_t length)
{
    if (to->length + length + 1 > to->room && !to->failed) {
        size_t room = 2 * (to->length + length + 1);
        char *more = realloc(to->at, room);
        to->failed = !more;
        to->at = more ? more : to->at;
        to->room = more ? room : to->room;
    }
    if (to->failed)
        return;
    memcpy(to->at + to->length, from, length);
    to->length += length;
    to->at[to->length] = 0;
}

void say(text *to, const char *from)
{
    add(to, from, strlen(from));
}

void say_number(text *to, const char *before, uint64_t number)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%" PRIu64, number);
    say(to, before);
    say(to, digits);
}

/* `from` as a string of JSON. */
void quote(text *to, const char *from)
{
    say(to, "\"");
    for (; *from; from++) {
        char code[8];
        if (*from == '"' || *from == '\\') {
            add(to, "\\", 1);
            add(to, from, 1);
        } else if ((unsigned char)*from < ' ') {
            snprintf(code, sizeof code, "\\u%04x", *from);
            say(to, code);
        } else {
            add(to, from, 1);
        }
    }
    say(to, "\"");
}
