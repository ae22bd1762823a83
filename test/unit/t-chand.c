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
	    "role=server\nport=1\nport=2\n", "role=server\nport=1\nother=2\n",
	    "role=server\nport=1\npages=1\n", "role=client\npages=1\n", "role=grants\n",
	    "role=grants\npages=0\n", "role=grants\npages=16385\n",
	    "role=grants\npages=4294967297\n", "role=grants\npages=-1\n",
	    "role=grants\npages=1\nport=1\n", "role=grants\npages=\n", "role=watch\nport=1\n",
	    "role=watch\npages=1\n", "role=watch\ndomid=4294967296\n", "role=\n", "role=Watch\n",
	    "role=watch\nrole=watch\n"};
	static const struct {
		const char *text;
		struct chan_request is;
	} good[] = {
	    {"role=client\nport=513\ndomid=4\n\n", {CHAN_CLIENT, 513, 4, 0}},
	    {"role=server\nport=0\n\n", {CHAN_SERVER, 0, 0, 0}},
	    {"role=grants\npages=16384\ndomid=7\n\n", {CHAN_GRANTS, 0, 7, 16384}},
	    {"pages=1\nrole=grants\n\n", {CHAN_GRANTS, 0, 0, 1}},
	    {"role=watch\n\n", {CHAN_WATCH, 0, 0, 0}},
	};
	struct chan_request r;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_non_null(chan_request_parse(&r, wrong[i], strlen(wrong[i])));
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_null(chan_request_parse(&r, good[i].text, strlen(good[i].text)));
		assert_true(r.role == good[i].is.role && r.port == good[i].is.port);
		assert_true(r.domid == good[i].is.domid && r.pages == good[i].is.pages);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(requests)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
