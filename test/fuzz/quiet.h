/* SPDX-License-Identifier: ISC */
/* Log lines of the code under test go nowhere; reports of the sanitizers and of libFuzzer do not.
 */
#ifndef QUIET_H
#define QUIET_H

#include <fcntl.h>
#include <sanitizer/common_interface_defs.h>
#include <stdbool.h>
#include <unistd.h>

static inline void
quiet(bool on)
{
	static int null = -1, real;

	if (null < 0) {
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		real = fcntl(2, F_DUPFD_CLOEXEC, 100);
		__sanitizer_set_report_fd((void *)(intptr_t)real);
	}
	dup2(on ? null : real, 2);
}

#endif
