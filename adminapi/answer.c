/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stdio.h>

#include "adminapi.h"

void
answer_ok(struct buf *out)
{
	(void)buf_put(out, "0", 2);
}

void
answer_exception(struct buf *out, const char *exception, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	answer_reason(out, exception, text);
}

/* The client takes the text for a format of Python's, with the arguments behind it: there are none.
 */
void
answer_reason(struct buf *out, const char *exception, const char *text)
{
	buf_eat(out, out->len);
	(void)buf_put(out, "2", 2);
	(void)buf_printf(out, "%s%c%c", exception, 0, 0);
	for (const char *p = text; *p != '\0'; p++)
		(void)buf_put(out, *p == '%' ? "%%" : p, *p == '%' ? 2 : 1);
	(void)buf_put(out, "", 1);
}
