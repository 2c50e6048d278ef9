#include <errno.h>
#include <stdio.h>

#include "fetch/base/json_out.h"
#include "fetch/base/output_file.h"
#include "fetch/key.h"
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

/* A key that was found. */
struct found {
	struct session *session; /* borrowed */
	char key[KEY_MAX + 1];
	struct pin pin;
};

static int look(void *arg, const char *key, struct error *e)
{
	struct found *f = arg;
	int r = session_stat_object(f->session, key, &f->pin, e);
	if (r == 0)
		snprintf(f->key, sizeof(f->key), "%s", key);
	return r;
}

int cmd_exists(const struct options *o, struct error *e)
{
	CLEANUP(key_choice_finish) struct key_choice keys = {0};
	int r = session_keys(o, &keys, e);
	if (r < 0)
		return r;
	CLEANUP(session_finish) struct session s = { 0 };
	r = session_open(&s, o, 1, true, e);
	if (r < 0)
		return r;
	struct found f = { .session = &s };
	r = session_find(&s, &keys, look, &f, e);
	if (r < 0 && r != -ENOENT)
		return r;
	const struct pin *found = r == 0 ? &f.pin : NULL;
	const char *key = found ? f.key : key_choice_own(&keys);
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
