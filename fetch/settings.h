/*
 * The settings that every command shares: where the store is reached and with what
 * patience. One table gives each its option name, environment variable, kind and help
 * line; larder and larderfs parse, print and complete from it.
 *
 * Precedence: option, then environment, then what the URL's query says, then the default.
 * `given` remembers which were said, so that an option that repeats the default still
 * stands above the environment. An empty variable counts as unset, as AWS's tools have it;
 * AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true hides the endpoint's variables.
 *
 * A settings object is plain data: no locks; filled once, then read-only.
 */
#ifndef LARDER_FETCH_SETTINGS_H
#define LARDER_FETCH_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch/base/error.h"

struct settings {
	char *endpoint_url;   /* owned; canonical origin; NULL: the provider's own */
	char *region;         /* owned; NULL: from profile, else us-east-1 */
	char *profile;        /* owned; NULL: "default" */
	char *ca_bundle;      /* owned; NULL: the system's */
	char *cache_dir;      /* owned; NULL until settings_finish_defaults(); "" : no cache */
	bool path_style;      /* https://host/bucket/key, not bucket.host/key */
	bool no_sign_request;
	unsigned concurrency;     /* connections at once; 16 */
	uint64_t timeout_ns;      /* of one whole operation; 30 s */
	uint64_t stall_timeout_ns; /* under 1 KB/s for so long: asked again; 10 s */
	unsigned retries;         /* attempts after the first; 3 */
	uint64_t cache_size;      /* bytes; 10 GiB */
	uint32_t given;           /* bit i: settings_table[i] was said */
	uint32_t from_environment; /* bit i: by a variable, not by an option */
};

enum setting_kind {
	SETTING_FLAG,     /* has no variable */
	SETTING_TEXT,
	SETTING_COUNT,    /* an integer from least to most */
	SETTING_DURATION, /* 30, 30s, 500ms, 2m, 1h; not 0 */
	SETTING_SIZE,     /* 4096, 64k, 10G: powers of 1,024 */
};

struct setting_info {
	const char *name;     /* as on the command line, without the dashes */
	const char *argument; /* the word for --help; NULL for a flag */
	const char *variables[3]; /* environment, first set one wins; NULL-ended */
	enum setting_kind kind;
	const char *help;
	size_t offset; /* in struct settings */
	unsigned least, most; /* of a count */
	int (*read)(const char *text, char **ret, struct error *e); /* checks and copies a
	                 text; NULL: any but the empty one */
};

extern const struct setting_info settings_table[];
extern const size_t settings_count;

void settings_init(struct settings *s);
void settings_finish(struct settings *s);
int settings_copy(struct settings *dst, const struct settings *src); /* 0 or -ENOMEM */

/* Was it said, by an option or a variable? name is one of the table's. */
bool settings_given(const struct settings *s, const char *name);

/* Was it said by an option? */
bool settings_given_by_option(const struct settings *s, const char *name);

/* Applies the environment to what was not given. -EINVAL names the variable; -ENOMEM. */
int settings_from_environment(struct settings *s, struct error *e);

/* Sets one by its option name; value NULL for a flag. -ENOENT: no such setting (so the
 * caller may know others); -EINVAL: bad value; -ENOMEM. */
int settings_set(struct settings *s, const char *name, const char *value, struct error *e);

/* Fills cache_dir when it is unset: $LARDER_CACHE_DIR, else $XDG_CACHE_HOME/larder, else
 * ~/.cache/larder, else "" when nobody's home is known. Makes paths absolute, because a
 * daemon leaves its directory. 0, -ENOMEM, -errno when the working directory is gone. */
int settings_finish_defaults(struct settings *s, struct error *e);

/* Parsers shared with other option tables: digits and a unit, nothing else. 0 or -EINVAL;
 * a duration of more than a year, a size past INT64_MAX and a count past `most` are
 * -EINVAL too. */
int parse_duration(const char *text, uint64_t *ret_ns);
int parse_size(const char *text, uint64_t *ret_bytes);
int parse_count(const char *text, unsigned most, unsigned *ret);

/* A region's name becomes part of host names: 1 to 63 letters, digits, '-' and '_'. */
bool region_is_valid(const char *region);

#endif
