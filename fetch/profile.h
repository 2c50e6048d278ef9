/*
 * The profiles of AWS's configuration files, and what they say about reaching a store.
 *
 * Two files are read as one: the shared credentials file (sections are profile names) and
 * the configuration file (sections are "default" or "profile NAME"); where both set the
 * same property, the credentials file counts. AWS_SHARED_CREDENTIALS_FILE and
 * AWS_CONFIG_FILE name them, else ~/.aws/credentials and ~/.aws/config. A daemon leaves
 * the directory that it was started in, so relative paths are taken from there for good.
 *
 * A file that is not there is an empty one, as is one in its usual place that we may not
 * read; a file that is malformed is an error.
 */
#ifndef LARDER_FETCH_PROFILE_H
#define LARDER_FETCH_PROFILE_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "fetch/base/error.h"
#include "fetch/ini.h"
#include "fetch/settings.h"

struct profile_paths {
	char *directory;   /* owned; the working directory when they were found; NULL:
			      it is gone */
	char *credentials; /* owned; NULL: nobody's home is known */
	char *config;      /* owned; the same */
	bool credentials_named, config_named; /* by a variable */
};

/* What tells one version of the files from another. */
struct profile_stamp {
	struct file_stamp {
		dev_t dev;
		ino_t ino;
		off_t size;
		struct timespec mtime, ctime;
	} files[2]; /* all zero: not there */
};

struct profile_files {
	const struct profile_paths *paths; /* borrowed */
	struct ini credentials, config;
	struct profile_stamp stamp; /* from before they were read */
};

/* 0, -ENOMEM. */
int profile_paths_find(struct profile_paths *ret);
void profile_paths_finish(struct profile_paths *p);

/* path as it was meant when the paths were found: a relative one is below p->directory
 * (where that is gone it stays as it is). free() *ret. 0, -ENOMEM. */
int profile_paths_place(const struct profile_paths *p, const char *path, char **ret);

/* 0; -EINVAL: malformed, or named by a variable and unreadable; -ENOMEM. paths must
 * outlive *ret. */
int profile_files_load(
	const struct profile_paths *paths, struct profile_files *ret, struct error *e);
void profile_files_finish(struct profile_files *f);

/* Have the files changed since? Never fails: unreadable ones count as not there. */
struct profile_stamp profile_stamp_of(const struct profile_paths *paths);
bool profile_stamp_equal(const struct profile_stamp *a, const struct profile_stamp *b);

/* Does either file have any property in this profile? */
bool profile_exists(const struct profile_files *f, const char *profile);

/* A property, or with subkey a property of it; NULL when there is none. Borrowed. */
const char *profile_get(const struct profile_files *f, const char *profile,
	const char *key, const char *subkey);

/* A property that names a file, placed; NULL when there is none or it is empty. free()
 * *ret. 0, -ENOMEM. */
int profile_get_path(
	const struct profile_files *f, const char *profile, const char *key, char **ret);

/* The file that holds the property; for messages. */
const char *profile_file_of(
	const struct profile_files *f, const char *profile, const char *key);

/* A service's endpoint, canonical (fetch/origin.h): from the profile's "services" section,
 * else from the service's own block in the profile, else the profile's endpoint_url; NULL
 * when there is none, or ignore_configured_endpoint_urls or the variable of that name says
 * so. free() it. 0, -EINVAL, -ENOMEM. */
int profile_endpoint(const struct profile_files *f, const char *profile,
	const char *service, char **ret, struct error *e);

/* What a store may want to know of the profile that the settings name. */
struct profile_facts {
	char *region;       /* owned; NULL: not said; so for all */
	char *endpoint_url; /* owned; of S3; canonical */
	char *ca_bundle;    /* owned; placed */
	int path_style;     /* from s3's addressing_style: 1 path, 0 virtual; -1: auto, or
	                       not said */
};

/* 0; -EINVAL: a file is broken or a value is none; -ENOMEM. A profile that does not exist
 * says nothing. */
int profile_facts_load(
	const struct settings *settings, struct profile_facts *ret, struct error *e);
void profile_facts_finish(struct profile_facts *f);

/* settings->profile, else "default". Borrowed. */
const char *profile_name(const struct settings *settings);

#endif
