#include <errno.h>
#include <stdio.h>

#include "fetch/base/json_out.h"
#include "fetch/base/output_file.h"
#include "tools/command.h"
#include "tools/session.h"

static void print_json(const char *key, const struct pin *pin)
{
	printf("{\"key\":");
	json_string(stdout, key);
	printf(",\"exists\":%s", pin ? "true" : "false");
	if (pin) {
		printf(",\"size\":%llu,\"etag\":", (unsigned long long)pin->size);
		json_string(stdout, pin->etag);
	}
	puts("}");
}

static int append_output(const struct options *o, const char *key, const struct pin *pin,
	struct error *e)
{
	char identity[DIGEST_HEX_SIZE] = "";
	if (pin && pin->has_identity)
		digest_hex(&pin->identity, identity);
	const struct output_facts facts = {
		.hit = pin != NULL,
		.key = pin ? key : NULL,
		.identity = identity,
		.etag = pin ? pin->etag : NULL,
		.size = pin ? pin->size : 0,
	};
	return output_append(o->output, &facts, e);
}

int cmd_exists(const struct options *o, struct error *e)
{
	const char *key;
	int r = session_key(o, &key, e);
	if (r < 0)
		return r;
	CLEANUP(session_finish) struct session s = { 0 };
	r = session_open(&s, o, 1, true, e);
	if (r < 0)
		return r;
	struct pin pin;
	r = store_stat_object(s.store, &s.call, key, &pin, NULL, e);
	if (r < 0 && r != -ENOENT)
		return r;
	const struct pin *found = r == 0 ? &pin : NULL;
	if (o->json)
		print_json(key, found);
	else if (!o->quiet)
		printf("%s: %s\n", key, found ? "published" : "not there");
	int written = append_output(o, key, found, e);
	if (written < 0)
		return written;
	if (r == -ENOENT && e)
		e->text[0] = '\0'; /* it is the answer, not a failure */
	return r;
}
