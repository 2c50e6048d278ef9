#include "fetch/newest_key.h"

#include <errno.h>
#include <string.h>

struct newest {
	char *key; /* owned; NULL: none yet */
	int64_t mtime_s;
};

/* Entries come in the order of their names, so a later one wins a tie. */
static int keep_newest(void *arg, const struct list_entry *entry)
{
	struct newest *n = arg;
	if (entry->is_directory || (n->key && entry->mtime_s < n->mtime_s))
		return 0;
	char *key = strdup(entry->key);
	if (!key)
		return -ENOMEM;
	free(n->key);
	*n = (struct newest){key, entry->mtime_s};
	return 0;
}

int newest_key(struct store *s, const struct call *call, const char *prefix, char **ret,
	struct error *e)
{
	struct newest n = {0};
	int r = store_list(s, call, prefix, true, keep_newest, &n, e);
	if (r < 0) {
		free(n.key);
		return r;
	}
	if (!n.key)
		return error_set(e, -ENOENT, "no key begins with '%s'", prefix);
	*ret = n.key;
	return 0;
}
