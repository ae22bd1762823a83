/* SPDX-License-Identifier: ISC */
#include "tap.h"

#include "chand/backend.h"
#include "chand/request.h"

static void
names(void **state)
{
	static const char *const wrong[] = {"", "vchan", "vchan.1.2.3", "vchan.1.2.3.sock.new",
	    "vchan.01.2.3.sock", "vchan.1.2.65536.sock", "vchan.4294967296.2.3.sock",
	    "vchan.-1.2.3.sock", "vchan.1.2..sock", "vchan.1.2.3.sock/", "Vchan.1.2.3.sock",
	    "../vchan.1.2.3.sock", "vchan.1.2.3.sock ", "vchan.1.2.3.socket", "vchan.1.2.3.so\nk",
	    "vchan.+1.2.3.sock",
	    "vchan.11111111111111111111111111111111111111111111111111111111111111111111111.2.3."
	    "sock"};
	uint32_t a, b, p;

	assert_true(channel_name("vchan.1.2.3.sock", &a, &b, &p));
	assert_true(a == 1 && b == 2 && p == 3);
	assert_true(channel_name("vchan.4294967295.0.65535.sock", &a, &b, &p));
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_false(channel_name(wrong[i], &a, &b, &p));
}

static void
requests(void **state)
{
	static const char *const wrong[] = {"", "role=server\n", "port=1\n", "role=both\nport=1\n",
	    "role=server\nport=65536\n", "role=server\nport=-1\n", "role=server\nport=1\ndomid=x\n",
	    "role=server\nport=1\nport=2\n", "role=server\nport=1\nother=2\n"};
	struct chan_request r;
	const char good[] = "role=client\nport=513\ndomid=4\n\n";

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_non_null(chan_request_parse(&r, wrong[i], strlen(wrong[i])));
	assert_null(chan_request_parse(&r, good, sizeof good - 1));
	assert_true(!r.server && r.port == 513 && r.domid == 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(requests)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
