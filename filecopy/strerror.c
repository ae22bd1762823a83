/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <string.h>

#include "filecopy/qfile.h"

const char *
qfile_strerror(uint32_t error)
{
	static const struct {
		uint32_t error;
		const char *text;
	} texts[] = {
	    {EEXIST, "a file of this name is there already, and none is ever replaced: remove or "
		     "rename it "
		     "there"},
	    {EILSEQ, "a name has characters that are not allowed"},
	    {ENOLINK, "a link leads out of what is copied"},
	    {EINVAL, "neither a file, a directory nor a link, or a time that is none"},
	    {EDQUOT, "more, or larger, than this qube takes in one copy"},
	    {ENAMETOOLONG, "a name or a link's target is too long"},
	    {ENOSPC, "the disk is full"},
	    {EREMOTEIO, "the end is missing"},
	    {QFILE_CUT, "the transfer broke off"},
	};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (texts[i].error == error)
			return texts[i].text;
	return error <= 4095 ? strerror((int)error) : "an unknown error";
}
