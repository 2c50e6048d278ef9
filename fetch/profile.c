#include "fetch/profile.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/base/buf.h"
#include "fetch/base/cleanup.h"
#include "fetch/home.h"
#include "fetch/origin.h"

#define PATH_TEXT_MAX (2 * PATH_MAX)

/* --- the files --------------------------------------------------------------------- */

/* A shell leaves the ~ of a quoted value to the program. */
static int append_path(struct buf *b, const char *path)
{
	bool at_home = path[0] == '~' && path[1] == '/';
	int r = at_home ? home_append(b) : 0;
	return r < 0 ? r : buf_append_str(b, path + at_home);
}

int profile_paths_place(const struct profile_paths *p, const char *path, char **ret)
{
	if (*path == '/' || !*path || !p->directory) {
		*ret = strdup(path);
		return *ret ? 0 : -ENOMEM;
	}
	char *placed;
	if (asprintf(&placed, "%s/%s", p->directory, path) < 0)
		return -ENOMEM;
	*ret = placed;
	return 0;
}

static int find_path(const struct profile_paths *p, const char *variable,
	const char *usual, char **ret_path, bool *ret_named)
{
	const char *said = getenv(variable);
	bool named = said && *said;
	CLEANUP(buf_finish) struct buf b = BUF_INIT(PATH_TEXT_MAX);
	int r = append_path(&b, named ? said : usual);
	*ret_named = named;
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : profile_paths_place(p, buf_str(&b), ret_path);
}

int profile_paths_find(struct profile_paths *ret)
{
	CLEANUP(profile_paths_finish)
	struct profile_paths p = {.directory = getcwd(NULL, 0)};
	if (!p.directory && errno == ENOMEM)
		return -ENOMEM;
	int r = find_path(&p, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials",
		&p.credentials, &p.credentials_named);
	if (r == 0)
		r = find_path(&p, "AWS_CONFIG_FILE", "~/.aws/config", &p.config,
			&p.config_named);
	if (r < 0)
		return r;
	*ret = p;
	p = (struct profile_paths){0};
	return 0;
}

void profile_paths_finish(struct profile_paths *p)
{
	free(p->directory);
	free(p->credentials);
	free(p->config);
	*p = (struct profile_paths){0};
}

/* The files of another user's home, as under sudo, are none of ours. */
static bool counts_as_empty(int r, bool named)
{
	return r == -ENOENT || r == -ENOTDIR || (r == -EACCES && !named);
}

static int load_file(const char *path, bool named, struct ini *ret, struct error *e)
{
	struct error why = {0};
	int r = path ? ini_load(path, ret, &why) : -ENOENT;
	if (counts_as_empty(r, named))
		return 0;
	error_copy(r < 0 ? e : NULL, &why);
	return r < 0 && r != -ENOMEM ? -EINVAL : r;
}

int profile_files_load(
	const struct profile_paths *paths, struct profile_files *ret, struct error *e)
{
	CLEANUP(profile_files_finish)
	struct profile_files f = {.paths = paths, .stamp = profile_stamp_of(paths)};
	int r = load_file(
		paths->credentials, paths->credentials_named, &f.credentials, e);
	if (r == 0)
		r = load_file(paths->config, paths->config_named, &f.config, e);
	if (r < 0)
		return r;
	*ret = f;
	f = (struct profile_files){0};
	return 0;
}

void profile_files_finish(struct profile_files *f)
{
	ini_finish(&f->credentials);
	ini_finish(&f->config);
}

static struct file_stamp stamp_of(const char *path)
{
	struct stat st;
	if (!path || stat(path, &st) < 0)
		return (struct file_stamp){0};
	return (struct file_stamp){.dev = st.st_dev,
		.ino = st.st_ino,
		.size = st.st_size,
		.mtime = st.st_mtim,
		.ctime = st.st_ctim};
}

struct profile_stamp profile_stamp_of(const struct profile_paths *paths)
{
	return (struct profile_stamp){
		.files = {stamp_of(paths->credentials), stamp_of(paths->config)},
	};
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_file(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       same_time(&a->mtime, &b->mtime) && same_time(&a->ctime, &b->ctime);
}

bool profile_stamp_equal(const struct profile_stamp *a, const struct profile_stamp *b)
{
	return same_file(&a->files[0], &b->files[0]) &&
	       same_file(&a->files[1], &b->files[1]);
}

/* --- properties -------------------------------------------------------------------- */

/* Is this section of the configuration file the profile's? */
static bool is_section_of(const char *section, const char *profile)
{
	static const char prefix[] = "profile ";
	if (!strncmp(section, prefix, sizeof(prefix) - 1))
		return !strcmp(section + sizeof(prefix) - 1, profile);
	return !strcmp(profile, "default") && !strcmp(section, "default");
}

bool profile_exists(const struct profile_files *f, const char *profile)
{
	for (size_t i = 0; i < f->credentials.entries.len; i++)
		if (!strcmp(f->credentials.entries.data[i].section, profile))
			return true;
	for (size_t i = 0; i < f->config.entries.len; i++)
		if (is_section_of(f->config.entries.data[i].section, profile))
			return true;
	return false;
}

/* "profile default" comes before "default". */
static const char *get_from_config(const struct ini *config, const char *profile,
	const char *key, const char *subkey)
{
	const char *value = ini_get_of(config, "profile", profile, key, subkey);
	if (!value && !strcmp(profile, "default"))
		value = ini_get(config, "default", key, subkey);
	return value;
}

const char *profile_get(const struct profile_files *f, const char *profile,
	const char *key, const char *subkey)
{
	const char *value = ini_get(&f->credentials, profile, key, subkey);
	return value ? value : get_from_config(&f->config, profile, key, subkey);
}

int profile_get_path(
	const struct profile_files *f, const char *profile, const char *key, char **ret)
{
	const char *value = profile_get(f, profile, key, NULL);
	if (value && *value)
		return profile_paths_place(f->paths, value, ret);
	*ret = NULL;
	return 0;
}

const char *profile_file_of(
	const struct profile_files *f, const char *profile, const char *key)
{
	const char *path = ini_get(&f->credentials, profile, key, NULL)
				   ? f->paths->credentials
				   : f->paths->config;
	return path ? path : "~/.aws/config";
}

/* --- endpoints --------------------------------------------------------------------- */

static bool is_true(const char *text)
{
	return text && !strcasecmp(text, "true");
}

int profile_endpoint(const struct profile_files *f, const char *profile,
	const char *service, char **ret, struct error *e)
{
	*ret = NULL;
	if (is_true(getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")) ||
		is_true(profile_get(f, profile, "ignore_configured_endpoint_urls", NULL)))
		return 0;
	const char *services = profile_get(f, profile, "services", NULL);
	const char *url = services ? ini_get_of(&f->config, "services", services, service,
					     "endpoint_url")
				   : NULL;
	if (!url)
		url = profile_get(f, profile, service, "endpoint_url");
	if (!url)
		url = profile_get(f, profile, "endpoint_url", NULL);
	if (!url || !*url)
		return 0;
	int r = origin_parse(url, ret, e);
	if (r < 0)
		error_prefix(e, "endpoint_url of profile '%s': ", profile);
	return r;
}

/* --- facts ------------------------------------------------------------------------- */

const char *profile_name(const struct settings *settings)
{
	return settings->profile ? settings->profile : "default";
}

static int copy_property(
	const struct profile_files *f, const char *profile, const char *key, char **ret)
{
	const char *value = profile_get(f, profile, key, NULL);
	if (!value || !*value)
		return 0;
	*ret = strdup(value);
	return *ret ? 0 : -ENOMEM;
}

static int read_style(const char *profile, const char *style, int *ret, struct error *e)
{
	static const char *const styles[] = {"virtual", "path", "auto"};
	static const int values[] = {0, 1, -1};
	for (size_t i = 0; style && i < sizeof(styles) / sizeof(styles[0]); i++) {
		if (strcasecmp(style, styles[i]) != 0)
			continue;
		*ret = values[i];
		return 0;
	}
	return style ? error_set(e, -EINVAL,
			       "addressing_style of profile '%s' is none of path, "
			       "virtual "
			       "and auto",
			       profile)
		     : 0;
}

static int read_facts(const struct profile_files *f, const char *profile,
	struct profile_facts *ret, struct error *e)
{
	int r = copy_property(f, profile, "region", &ret->region);
	if (r == 0 && ret->region && !region_is_valid(ret->region))
		return error_set(e, -EINVAL, "profile '%s' has '%.64s' for a region",
			profile, ret->region);
	if (r == 0)
		r = profile_get_path(f, profile, "ca_bundle", &ret->ca_bundle);
	if (r < 0)
		return error_set_errno(e, r, "cannot read profile '%s'", profile);
	r = profile_endpoint(f, profile, "s3", &ret->endpoint_url, e);
	return r < 0 ? r
		     : read_style(profile,
			       profile_get(f, profile, "s3", "addressing_style"),
			       &ret->path_style, e);
}

int profile_facts_load(
	const struct settings *settings, struct profile_facts *ret, struct error *e)
{
	CLEANUP(profile_paths_finish) struct profile_paths paths = {0};
	CLEANUP(profile_files_finish) struct profile_files files = {0};
	CLEANUP(profile_facts_finish) struct profile_facts facts = {.path_style = -1};
	int r = profile_paths_find(&paths);
	if (r < 0)
		return error_set_errno(e, r, "cannot look for AWS's configuration files");
	r = profile_files_load(&paths, &files, e);
	if (r == 0)
		r = read_facts(&files, profile_name(settings), &facts, e);
	if (r < 0)
		return r;
	*ret = facts;
	facts = (struct profile_facts){0};
	return 0;
}

void profile_facts_finish(struct profile_facts *f)
{
	free(f->region);
	free(f->endpoint_url);
	free(f->ca_bundle);
	*f = (struct profile_facts){.path_style = -1};
}
