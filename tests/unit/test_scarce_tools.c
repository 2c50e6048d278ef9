/* `larder commit` and `larder restore`, where memory runs out at any point: done, or
 * nothing is there. */
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/scarce.h"
#include "tests/unit/scratch.h"
#include "tools/command.h"
#include "tools/session.h"

struct world {
	struct scratch dir;
	char store[128], cache[128]; /* options */
	unsigned turn;               /* each has a key and a directory of its own */
};

/* Runs a command as main() does. */
static int run(unsigned bit, int (*command)(const struct options *o, struct error *e),
	struct world *w, const char *key, const char *directory)
{
	char *argv[] = {(char *)"larder", (char *)"--quiet", w->cache, (char *)"--key",
		(char *)key, w->store, (char *)directory};
	CLEANUP(options_finish) struct options o;
	struct error e = {0};
	options_init(&o);
	int r = options_parse(&o, bit, sizeof(argv) / sizeof(argv[0]), argv, &e);
	return r < 0 ? r : command(&o, &e);
}

static int commit(void *arg)
{
	struct world *w = arg;
	char key[32], object[64];
	snprintf(key, sizeof(key), "key-%u", w->turn++);
	snprintf(object, sizeof(object), "store/%s", key);
	int r = run(COMMAND_COMMIT, cmd_commit, w, key, scratch_path(&w->dir, "tree"));
	assert_int_equal(access(scratch_path(&w->dir, object), F_OK), r == 0 ? 0 : -1);
	return r;
}

static void assert_content(const struct scratch *dir, const char *name, const char *want)
{
	char got[64] = "";
	FILE *f = fopen(scratch_path(dir, name), "r");
	assert_non_null(f);
	assert_int_equal(fread(got, 1, sizeof(got) - 1, f), strlen(want));
	assert_string_equal(got, want);
	fclose(f);
}

static int restore(void *arg)
{
	struct world *w = arg;
	char name[32], file[64];
	snprintf(name, sizeof(name), "restored-%u", w->turn++);
	snprintf(file, sizeof(file), "%s/a/b/file", name);
	int r = run(COMMAND_RESTORE, cmd_restore, w, "key", scratch_path(&w->dir, name));
	bool spared = scarce_spare(true);
	if (r == 0)
		assert_content(&w->dir, file, "content");
	else
		assert_int_equal(access(scratch_path(&w->dir, name), F_OK), -1);
	scarce_spare(spared);
	return r;
}

static void trees_are_committed_and_restored(void **state)
{
	struct world w = {.dir = scratch_new()};
	snprintf(w.store, sizeof(w.store), "%s", scratch_path(&w.dir, "store"));
	snprintf(w.cache, sizeof(w.cache), "--cache-dir=%s",
		scratch_path(&w.dir, "cache"));
	scratch_write(&w.dir, "tree/a/b/file", "content");
	scratch_write(&w.dir, "tree/small", "s");
	assert_int_equal(symlink("small", scratch_path(&w.dir, "tree/symlink")), 0);
	assert_int_equal(session_signals(NULL), 0);
	assert_int_equal(
		run(COMMAND_COMMIT, cmd_commit, &w, "key", scratch_path(&w.dir, "tree")),
		0);
	scarce_try("committing", commit, &w);
	scarce_try("restoring", restore, &w);
	session_signals_end();
	scratch_finish(&w.dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trees_are_committed_and_restored),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
