/* SPDX-License-Identifier: ISC */
/*
 * A guest's disks: block devices as they are, image files behind loop devices. No shell, no udev,
 * no lock file. A loop device is made with AUTOCLEAR: it is gone with its last user, which is the
 * kernel's block backend once that has opened it, whatever becomes of us.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "log.h"
#include "xendom.h"

#define LOOP_TRIES 64
#define HELD "/sys/bus/xen-backend/devices/vbd-%u-%d/physical_device"
#define HELD_STEP_MS 10
#define HELD_TRIES 300

static int
loop_attach(const struct xen_disk *k)
{
	struct loop_config cfg = {.fd = (uint32_t)k->image,
	    .info.lo_flags = LO_FLAGS_AUTOCLEAR | (k->write ? 0u : (uint32_t)LO_FLAGS_READ_ONLY)};
	const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	char path[32];
	int fd = -1, n;

	snprintf((char *)cfg.info.lo_file_name, sizeof cfg.info.lo_file_name, "%.60s", k->path);
	for (int i = 0; control >= 0 && fd < 0 && i < LOOP_TRIES; i++) {
		n = ioctl(control, LOOP_CTL_GET_FREE);
		if (n < 0)
			break;
		snprintf(path, sizeof path, "/dev/loop%d", n);
		fd = open(path, (k->write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
		if (fd < 0)
			break;
		if (ioctl(fd, LOOP_CONFIGURE, &cfg) == 0)
			continue;
		n = errno;
		close(fd);
		fd = -1;
		errno = n;
		if (n != EBUSY) /* else somebody was faster */
			break;
	}
	if (control >= 0)
		close(control);
	return fd;
}

static const char *
disk_open(struct xen_disk *k)
{
	static char why[VM_PATH_LEN + 64];
	char path[32];
	struct stat st;

	snprintf(why, sizeof why, "disk %s", k->path);
	snprintf(path, sizeof path, "/proc/self/fd/%d", k->from);
	k->image = open(
	    k->from >= 0 ? path : k->path, (k->write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
	if (k->image < 0 || fstat(k->image, &st) < 0)
		return why;
	if (S_ISREG(st.st_mode)) {
		snprintf(k->id, sizeof k->id, "f%llx-%llx", (unsigned long long)st.st_dev,
		    (unsigned long long)st.st_ino);
		return NULL;
	}
	if (S_ISBLK(st.st_mode)) {
		snprintf(k->id, sizeof k->id, "b%llx", (unsigned long long)st.st_rdev);
		return NULL;
	}
	errno = 0;
	snprintf(why, sizeof why, "disk %s: neither an image file nor a block device", k->path);
	return why;
}

/* *k gets the number of the device that the block backend is to open. */
static const char *
disk_attach(struct xen_disk *k)
{
	static char why[VM_PATH_LEN + 64];
	struct stat st;

	k->fd = k->id[0] == 'f' ? loop_attach(k) : k->image;
	if (k->fd >= 0 && fstat(k->fd, &st) == 0) {
		k->major = major(st.st_rdev);
		k->minor = minor(st.st_rdev);
		return NULL;
	}
	snprintf(why, sizeof why, "a loop device for %s", k->path);
	return why;
}

const char *
disks_open(struct xen *x)
{
	const char *e = NULL;

	for (int i = 0; !e && i < XEN_DISKS; i++)
		if (x->disk[i].path[0])
			e = disk_open(&x->disk[i]);
	/* what is in use elsewhere is not touched */
	if (!e)
		e = disks_free(x, 0, 0);
	for (int i = 0; !e && i < XEN_DISKS; i++)
		if (x->disk[i].path[0])
			e = disk_attach(&x->disk[i]);
	return e;
}

/* A volatile image's content is nobody's business: holes read as zeros. */
void
disks_wipe(struct xen *x)
{
	struct stat st;

	for (struct xen_disk *k = x->disk; k < x->disk + XEN_DISKS; k++) {
		if (!k->wipe || k->id[0] != 'f' || fstat(k->image, &st) < 0)
			continue;
		if (fallocate(k->image, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, st.st_size) <
		    0)
			logit("%s is not emptied: %s", k->path, strerror(errno));
	}
}

/* It says so in sysfs alone, which cannot be waited for. */
bool
disks_held(const struct xen *x, uint32_t domid)
{
	char path[96];

	for (int i = 0; i < XEN_DISKS; i++) {
		int tries = 0;

		snprintf(path, sizeof path, HELD, domid, XVDA + 16 * i);
		while (x->disk[i].id[0] && access(path, F_OK) < 0) {
			if (tries++ == HELD_TRIES)
				return false;
			(void)poll(NULL, 0, HELD_STEP_MS);
		}
	}
	return true;
}

bool
disks_busy(uint32_t domid)
{
	char path[96];

	for (int i = 0; i < XEN_DISKS; i++) {
		snprintf(path, sizeof path, HELD, domid, XVDA + 16 * i);
		if (access(path, F_OK) == 0)
			return true;
	}
	return false;
}

void
disks_close(struct xen *x)
{
	for (struct xen_disk *k = x->disk; k < x->disk + XEN_DISKS; k++) {
		if (k->fd >= 0 && k->fd != k->image)
			close(k->fd);
		if (k->image >= 0)
			close(k->image);
		k->fd = k->image = -1;
	}
}
