#include "fs/options.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch/store_url.h"

#define ID_MOST (UINT32_MAX - 1) /* (uid_t)-1 means "nobody said" to many calls */

void fs_options_init(struct fs_options *o)
{
	*o = (struct fs_options){.fallback = BUF_INIT(STORE_URL_MAX)};
	options_init(&o->said);
}

void fs_options_finish(struct fs_options *o)
{
	options_finish(&o->said);
	mount_words_finish(&o->words);
	key_choice_finish(&o->keys);
	buf_finish(&o->fallback);
}

/* A number; false when it is none. */
static bool read_id(const char *text, uint32_t *ret)
{
	unsigned id;
	if (parse_count(text, ID_MOST, &id) < 0)
		return false;
	*ret = id;
	return true;
}

static int read_owner(const struct options *said, struct fs_options *o, struct error *e)
{
	o->uid = getuid();
	o->gid = getgid();
	if (said->uid && !read_id(said->uid, &o->uid)) {
		const struct passwd *user = getpwnam(said->uid);
		if (!user)
			return error_set(e, -EINVAL, "there is no user '%s'", said->uid);
		o->uid = user->pw_uid;
	}
	if (said->gid && !read_id(said->gid, &o->gid)) {
		const struct group *group = getgrnam(said->gid);
		if (!group)
			return error_set(e, -EINVAL, "there is no group '%s'", said->gid);
		o->gid = group->gr_gid;
	}
	return 0;
}

static int read_places(struct fs_options *o, struct error *e)
{
	const struct word_vec *words = &o->said.arguments;
	if (!words->len)
		return error_set(
			e, -EINVAL, "arguments are missing: larderfs [STORE] MOUNTPOINT");
	if (words->len > 2)
		return error_set(e, -EINVAL,
			"'%s' is one argument too many: larderfs [STORE] MOUNTPOINT",
			words->data[2]);
	o->mountpoint = words->data[words->len - 1];
	if (words->len == 2) {
		o->store = words->data[0];
		return 0;
	}
	int r = store_url_default(&o->fallback, e);
	o->store = buf_str(&o->fallback);
	return r;
}

static int read_key(struct fs_options *o, struct error *e)
{
	const struct options *said = &o->said;
	if (!said->key && said->fallback_keys.len)
		return error_set(
			e, -EINVAL, "--fallback-key wants a --key to fall back from");
	if (!said->key && said->fail_on_miss)
		return error_set(e, -EINVAL, "--fail-on-miss wants a --key to miss");
	if (!said->key)
		return 0;
	int r = key_choice_init(&o->keys, said->scope, said->key,
		said->fallback_keys.data, said->fallback_keys.len, e);
	if (r == 0)
		o->key = key_choice_own(&o->keys);
	return r;
}

static int check_prefetch(const struct options *said, struct error *e)
{
	const char *p = said->prefetch;
	if (!p || !strcmp(p, "auto") || !strcmp(p, "none") || !strcmp(p, "all"))
		return 0;
	return error_set(e, -EINVAL, "--prefetch wants auto, none or all, not '%s'", p);
}

static bool asks_for_version(int argc, char **argv)
{
	return argc == 2 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"));
}

int fs_options_parse(struct fs_options *o, int argc, char **argv, struct error *e)
{
	o->version = asks_for_version(argc, argv);
	if (o->version)
		return 0;
	int r = mount_words_expand(argc, argv, &o->words, e);
	if (r == 0)
		r = options_parse(
			&o->said, COMMAND_DAEMON, o->words.argc, o->words.argv, e);
	if (r < 0 || o->said.help)
		return r;
	r = read_places(o, e);
	if (r == 0)
		r = read_key(o, e);
	if (r == 0)
		r = check_prefetch(&o->said, e);
	return r < 0 ? r : read_owner(&o->said, o, e);
}

void fs_options_help(void)
{
	puts("larderfs [OPTIONS] [STORE] MOUNTPOINT\n"
	     "mount -t fuse.larderfs STORE MOUNTPOINT -o NAME,NAME=VALUE,...\n\n"
	     "Mounts a store's keys, or one key, as directories.\n");
	for (size_t i = 0; i < options_count; i++) {
		const struct option_info *info = &options_table[i];
		if (info->commands & COMMAND_DAEMON)
			options_print(stdout, info->letter, info->name, info->argument,
				info->help);
	}
	options_print(stdout, 'V', "version", NULL, "print which larderfs this is");
	puts("\nHow the store is reached:");
	for (size_t i = 0; i < settings_count; i++)
		options_print(stdout, 0, settings_table[i].name,
			settings_table[i].argument, settings_table[i].help);
}
