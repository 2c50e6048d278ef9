#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "archive/format.h"
#include "fetch/base/controls.h"
#include "fetch/base/json_out.h"
#include "fetch/base/log.h"
#include "fetch/key.h"
#include "tools/command.h"
#include "tools/human.h"
#include "tools/open_archive.h"
#include "tools/results.h"

/* --- keys -------------------------------------------------------------------------- */

struct key_list {
	bool json;
	bool any;
	int64_t now_s;
};

static void print_key_json(struct key_list *l, const struct list_entry *entry)
{
	printf("%s{\"key\":", l->any ? ",\n" : "[\n");
	json_string(stdout, entry->key);
	printf(",\"size\":%llu,\"mtime\":%lld}", (unsigned long long)entry->size,
		(long long)entry->mtime_s);
}

static int print_key(void *arg, const struct list_entry *entry)
{
	struct key_list *l = arg;
	char size[HUMAN_SIZE], age[HUMAN_SIZE];
	human_bytes(entry->size, size);
	human_age(l->now_s - entry->mtime_s, age);
	session_only_prints();
	if (l->json)
		print_key_json(l, entry);
	else
		printf("%14llu  %9s  %6s  %s\n", (unsigned long long)entry->size, size,
			age, entry->key);
	l->any = true;
	return results_taken() ? 0 : -EPIPE;
}

/* A single word was taken for a prefix, but a folder may have been meant. */
static void tell_no_match(const struct session *s, const char *prefix)
{
	struct stat st;
	bool folder = stat(prefix, &st) == 0 && S_ISDIR(st.st_mode);
	log_info("no key of '%s' begins with '%s'%s%s%s", store_name(s->store), prefix,
		folder ? "; for the folder say './" : "", folder ? prefix : "",
		folder ? "'" : "");
}

/* alone: the prefix was given without a store. */
static int list_keys(const struct options *o, struct session *s, const char *prefix,
	bool alone, struct error *e)
{
	struct key_list l = { .json = o->json, .now_s = clock_realtime_s() };
	int r = store_list(s->store, &s->call, prefix, true, print_key, &l, e);
	if (!results_taken())
		return 0; /* we ended it, and results_flush() tells why */
	if (r == -ENOENT && s->own_folder)
		r = 0; /* nothing has been published yet */
	if (r == 0 && alone && !l.any)
		tell_no_match(s, prefix);
	if (r == 0 && o->json)
		puts(l.any ? "\n]" : "[]");
	if (r == -ENOENT)
		return -EINVAL; /* the store is not there: the wrong words */
	return r == -EOPNOTSUPP ? -EIO : r;
}

/* --- the files inside one key ------------------------------------------------------- */

/* A name may hold what drives a terminal. */
static void print_name(const char *name, size_t len)
{
	char text[TARGET_LIMIT];
	memcpy(text, name, len);
	controls_blot(text, len);
	fwrite(text, 1, len, stdout);
}

static void print_entry(const struct index *ix, uint32_t entry)
{
	struct entry_info info;
	index_info(ix, entry, &info);
	size_t len;
	const char *name = index_name(ix, entry, &len);
	char when[64] = "?", kind = S_ISDIR(info.mode) ? 'd' : S_ISLNK(info.mode) ? 'l' : '-';
	struct tm tm;
	if (gmtime_r(&info.mtime.tv_sec, &tm)) /* not for years past an int */
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	printf("%c%04o %12llu  %s  ", kind, info.mode & 07777u,
		(unsigned long long)(S_ISDIR(info.mode) ? 0 : info.size), when);
	print_name(name, len);
	if (kind == 'l') {
		const char *target = index_target(ix, entry, &len);
		printf(" -> ");
		print_name(target, len);
	}
	puts(kind == 'd' ? "/" : "");
}

static void print_entry_json(const struct index *ix, uint32_t entry, bool first)
{
	struct entry_info info;
	index_info(ix, entry, &info);
	size_t len;
	const char *name = index_name(ix, entry, &len);
	printf("%s{\"name\":", first ? "[\n" : ",\n");
	json_string_n(stdout, name, len);
	printf(",\"type\":\"%s\",\"mode\":\"%04o\",\"mtime\":%lld.%09ld",
		S_ISDIR(info.mode)      ? "directory" :
			S_ISLNK(info.mode) ? "symlink" :
					     "file",
		info.mode & 07777u, (long long)info.mtime.tv_sec, info.mtime.tv_nsec);
	if (S_ISREG(info.mode))
		printf(",\"size\":%llu", (unsigned long long)info.size);
	if (S_ISLNK(info.mode)) {
		const char *target = index_target(ix, entry, &len);
		printf(",\"target\":");
		json_string_n(stdout, target, len);
	}
	putchar('}');
}

static void print_directory(const struct index *ix, uint32_t directory, bool json)
{
	uint32_t count, first = index_children(ix, directory, &count);
	for (uint32_t i = 0; i < count && results_taken(); i++)
		if (json)
			print_entry_json(ix, first + i, i == 0);
		else
			print_entry(ix, first + i);
	if (json)
		puts(count ? "\n]" : "[]");
}

/* "" for the root, however many slashes people type around a path. NULL when out of memory;
 * else free() it. */
static char *trim_path(const char *path)
{
	path += strspn(path, "/");
	size_t len = strlen(path);
	while (len && path[len - 1] == '/')
		len--;
	return strndup(path, len);
}

struct opened {
	const struct options *o;
	struct session *s;
	struct archive *archive;    /* owned */
	struct range_source *local; /* owned */
	char key[KEY_MAX + 1];
};

static void opened_finish(struct opened *f)
{
	archive_free(f->archive);
	range_source_free(f->local);
}

static int open_key(void *arg, const char *key, struct error *e)
{
	struct opened *f = arg;
	CLEANUP(cleanup_object) struct object *object = NULL;
	int r = session_open_object(f->s, key, ARCHIVE_TAIL_SIZE, &object, e);
	snprintf(f->key, sizeof(f->key), "%s", key);
	return r < 0 ? r
		     : open_archive(f->s, &f->o->settings, key, object, false,
			       &f->archive, &f->local, e);
}

static int list_files(
	const struct options *o, struct session *s, const char *path, struct error *e)
{
	CLEANUP(key_choice_finish) struct key_choice keys = { 0 };
	CLEANUP(opened_finish) struct opened f = { .o = o, .s = s };
	int r = session_keys(o, &keys, e);
	if (r == 0)
		r = session_find(s, &keys, open_key, &f, e);
	if (r < 0)
		return r;
	CLEANUP(cleanup_free) char *trimmed = trim_path(path);
	uint32_t entry;
	if (!trimmed)
		return -ENOMEM;
	const struct index *ix = archive_index(f.archive);
	session_only_prints();
	r = index_find(ix, trimmed, &entry);
	if (r < 0)
		return error_set_errno(e, r, "'%s' in key '%s'", trimmed, f.key);
	if (S_ISDIR(index_mode(ix, entry)))
		print_directory(ix, entry, o->json);
	else if (o->json)
		print_entry_json(ix, entry, true), puts("\n]");
	else
		print_entry(ix, entry);
	return 0;
}

/* A single argument is the store when it looks like one, else what to list in it. */
static bool looks_like_store(const char *word)
{
	return strstr(word, "://") || *word == '/' || !strncmp(word, "./", 2) ||
		!strncmp(word, "../", 3);
}

int cmd_ls(const struct options *o, struct error *e)
{
	size_t count = o->arguments.len;
	bool store = count == 2 || (count == 1 && looks_like_store(o->arguments.data[0]));
	const char *what = count > (store ? 1 : 0) ? o->arguments.data[count - 1] : "";
	CLEANUP(session_finish) struct session s = { 0 };
	int r = session_open(&s, o, store ? count : count + 1, true, e);
	if (r < 0)
		return r;
	return o->key ? list_files(o, &s, what, e) : list_keys(o, &s, what, !store && count, e);
}
