#include "tests/fuzz/fuzz.h"

#include <stdio.h>

#include "fetch/key.h"
#include "fetch/settings.h"
#include "fetch/store_url.h"

/* What was read and is written out again means the same. */
static void check_again(const struct store_url *u, const char *text)
{
	CLEANUP(store_url_finish) struct store_url again = {0};
	if (strlen(text) > STORE_URL_MAX)
		return;
	assert(store_url_parse(text, &again, NULL) == 0);
	assert(again.kind == u->kind);
	assert(strcmp(again.path, u->path) == 0);
}

static void check_s3(const struct store_url *u)
{
	char text[2 * STORE_URL_MAX];
	assert(!*u->path || key_check(u->path, NULL) == 0);
	assert(!u->region || region_is_valid(u->region));
	if (strchr(u->path, '?'))
		return;
	snprintf(text, sizeof(text), "s3://%s/%s", u->bucket, u->path);
	check_again(u, text);
}

static void check_http(const struct store_url *u)
{
	char text[2 * STORE_URL_MAX];
	snprintf(text, sizeof(text), "%s%s", u->origin, u->path);
	check_again(u, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(store_url_finish) struct store_url u = {0};
	CLEANUP(cleanup_free) char *text = fuzz_text(data, size);
	struct error e = {0};
	int r = store_url_parse(text, &u, &e);
	if (r < 0) {
		assert(e.code == r && e.text[0]);
		return 0;
	}
	if (u.kind == STORE_S3)
		check_s3(&u);
	else if (u.kind == STORE_HTTP)
		check_http(&u);
	else
		check_again(&u, u.path);
	return 0;
}
