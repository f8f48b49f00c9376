/* The message of a failed call: each thread has its own. */
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

static _Thread_local char message[1024] = "nothing went wrong";

int fail(int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    for (char *at = message; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            *at = '?'; /* names from files stay on one line */
    return code;
}

const char *dlcnet_message(void)
{
    return message;
}
