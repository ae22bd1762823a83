/* SPDX-License-Identifier: ISC */
/* The data channel: what a peer may send, to a caller and to a service. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "qrexecd/qrexec.h"
#include "quiet.h"
#include "rpc/relay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct relay r = {.control = -1, .socket_service = true};
	uint32_t hello[] = {MSG_HELLO, HELLO_LEN, 2};
	int p[2];

	if (size == 0 || size > 140000 || socketpair(AF_UNIX, SOCK_STREAM, 0, p) < 0)
		return 0;
	hello[2] += data[0] >> 6;
	if (!(data[0] & 2) && write(p[0], hello, sizeof hello) < 0)
		return 0;
	if (write(p[0], data + 1, size - 1) < 0)
		return 0;
	shutdown(p[0], SHUT_WR);
	r.side = data[0] & 1 ? RELAY_CALLER : RELAY_SERVICE;
	r.filter_out = data[0] & 4;
	r.read_first = data[0] & 8;
	r.exit_on_client_eof = data[0] & 16;
	r.v = vchan_take(VCHAN_CLIENT, p[1]);
	r.in = data[0] & 32 ? open("/dev/null", O_RDONLY) : -1;
	r.out = open("/dev/null", O_WRONLY);
	r.err = -1;
	quiet(true);
	relay_run(&r);
	quiet(false);
	close(p[0]);
	/* The relay closes what has come to its end; the rest is ours. */
	close_range(3, 99, 0);
	return 0;
}
