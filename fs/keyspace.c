#include "fs/keyspace.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/lock.h"
#include "fetch/base/vec.h"
#include "fetch/key.h"
#include "fs/duds.h"
#include "fs/inode.h"
#include "fs/node_table.h"

DEFINE_VEC(doorway_vec, struct doorway *);

/* A name that the store is being asked about. */
struct pending {
	struct node *parent; /* borrowed: the requests that wait keep it */
	char *name;          /* owned */
	unsigned users;      /* threads inside */
	struct flight flight;
	struct pending *next;
};

struct keyspace {
	const struct supply *supply;
	const struct doorway_hooks *hooks;
	pthread_mutex_t lock;
	struct node_table nodes; /* under lock */
	struct pending *pending; /* under lock */
	struct duds duds;        /* by key; under lock */
};

/* --- nodes ----------------------------------------------------------------------- */

static void describe(const struct node *n, struct shown *ret)
{
	*ret = (struct shown){n->number, n->doorway, n->mtime_s};
}

/* Adds a node for a doorway, whose reference it takes over, or (NULL) for a directory. */
static int add_node_locked(struct keyspace *k, struct node *parent, const char *name,
	struct doorway *doorway, int64_t mtime_s, uint64_t known_ns, struct node **ret)
{
	struct node *n;
	int r = node_table_add(&k->nodes, parent, name, &n);
	if (r < 0)
		return r;
	n->doorway = doorway;
	n->mtime_s = mtime_s;
	n->known_ns = known_ns;
	if (doorway)
		doorway_set_inode(doorway, inode_make(0, n->number));
	*ret = n;
	return 0;
}

static int add_top(struct keyspace *k, const char *key)
{
	struct doorway *doorway = NULL;
	int r = key ? doorway_new(k->supply, k->hooks, key, &doorway) : 0;
	struct node *top;
	if (r == 0)
		r = add_node_locked(k, NULL, "", doorway, clock_realtime_s(),
			clock_monotonic_ns(), &top);
	if (r < 0)
		doorway_unref(doorway);
	return r;
}

int keyspace_new(const struct supply *supply, const struct doorway_hooks *hooks,
	const char *key, struct keyspace **ret)
{
	struct keyspace *k = malloc(sizeof(*k));
	if (!k)
		return -ENOMEM;
	*k = (struct keyspace){
		.supply = supply,
		.hooks = hooks,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	int r = node_table_init(&k->nodes);
	if (r == 0)
		r = add_top(k, key);
	if (r < 0) {
		keyspace_free(k);
		return r;
	}
	*ret = k;
	return 0;
}

void keyspace_free(struct keyspace *k)
{
	if (!k)
		return;
	assert(!k->pending);
	node_table_finish(&k->nodes);
	duds_finish(&k->duds);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

int keyspace_node(struct keyspace *k, uint32_t number, struct shown *ret)
{
	LOCK_SCOPE(&k->lock);
	const struct node *n = node_table_get(&k->nodes, number);
	if (!n)
		return -ENOENT;
	describe(n, ret);
	return 0;
}

void keyspace_forget(struct keyspace *k, uint32_t number, uint64_t lookups)
{
	struct node *unused = NULL;
	{
		LOCK_SCOPE(&k->lock);
		struct node *n = node_table_get(&k->nodes, number);
		if (!n)
			return;
		n->lookups -= lookups < n->lookups ? lookups : n->lookups;
		unused = node_table_prune(&k->nodes, n);
	}
	node_free(unused);
}

static struct node *directory_locked(struct keyspace *k, uint32_t number)
{
	struct node *n = node_table_get(&k->nodes, number);
	return n && !n->doorway ? n : NULL;
}

static struct node *directory_of(struct keyspace *k, uint32_t number)
{
	LOCK_SCOPE(&k->lock);
	return directory_locked(k, number);
}

/* --- listing --------------------------------------------------------------------- */

static bool is_fresh(const struct node *n)
{
	return n->listing && clock_monotonic_ns() - n->listed_ns < KEYSPACE_FRESH_NS;
}

struct wanted_listing {
	struct node *node;
	struct listing *found; /* one reference */
};

static bool listing_ready(void *arg)
{
	struct wanted_listing *w = arg;
	if (!is_fresh(w->node))
		return false;
	listing_ref(w->node->listing);
	w->found = w->node->listing;
	return true;
}

/* The one asker's work. A store that cannot list, or a folder that is not there yet,
 * shows an empty directory. */
static int fetch_listing(
	struct keyspace *k, const struct call *call, struct node *n, struct error *e)
{
	struct listing *fetched = NULL;
	int r = listing_fetch(k->supply->store, call, n->path, &fetched, e);
	if (r == -EOPNOTSUPP || r == -ENOENT) {
		fetched = listing_empty();
		r = fetched ? 0 : -ENOMEM;
	}
	if (r < 0)
		return r;
	struct listing *old;
	{
		LOCK_SCOPE(&k->lock);
		old = n->listing;
		n->listing = fetched;
		n->listed_ns = clock_monotonic_ns();
	}
	listing_unref(old);
	return 0;
}

static bool listing_at_hand(struct keyspace *k, struct wanted_listing *w)
{
	LOCK_SCOPE(&k->lock);
	return listing_ready(w);
}

int keyspace_listing(struct keyspace *k, const struct call *call, uint32_t directory,
	bool may_wait, struct listing **ret, struct error *e)
{
	struct wanted_listing w = {.node = directory_of(k, directory)};
	if (!w.node)
		return -ENOTDIR;
	if (!may_wait && !listing_at_hand(k, &w))
		return -EAGAIN;
	while (!w.found) {
		int r = flight_join(
			&w.node->fetching, &k->lock, call, listing_ready, &w, e);
		if (r == FLIGHT_OWNER) {
			r = fetch_listing(k, call, w.node, e);
			flight_land(&w.node->fetching, &k->lock, r, e);
		}
		if (r < 0)
			return r;
	}
	*ret = w.found;
	return 0;
}

/* --- looking up ------------------------------------------------------------------- */

struct wanted_name {
	struct keyspace *k;
	struct node *parent;
	const char *name;
	struct shown *found; /* filled with one lookup counted */
};

/* -ENOENT: no key is as long as that. */
static int key_of(const struct node *parent, const char *name, char ret[KEY_MAX + 2])
{
	int len = snprintf(ret, KEY_MAX + 2, "%s%s%s", parent->path,
		*parent->path ? "/" : "", name);
	return len < 0 || len > KEY_MAX ? -ENOENT : 0;
}

static int add_listed_locked(struct keyspace *k, struct node *parent,
	const struct listed *l, struct node **ret)
{
	struct doorway *doorway = NULL;
	char key[KEY_MAX + 2];
	int r = key_of(parent, l->name, key);
	if (r == 0 && l->is_key)
		r = doorway_new(k->supply, k->hooks, key, &doorway);
	if (r == 0)
		r = add_node_locked(
			k, parent, l->name, doorway, l->mtime_s, parent->listed_ns, ret);
	if (r < 0)
		doorway_unref(doorway);
	return r;
}

/* Was it a key that is not there any more? The listing, and whoever still uses the node,
 * do not know. */
static bool is_lost_locked(const struct wanted_name *w)
{
	char key[KEY_MAX + 2];
	if (key_of(w->parent, w->name, key) < 0)
		return false;
	const struct error *why = duds_find(&w->k->duds, clock_monotonic_ns(), key);
	return why && why->code == -ENOENT;
}

/* Does a newer listing of the directory above, if there is one, have it as well? */
static bool agrees_with_listing(struct node *n)
{
	const struct node *above = n->parent;
	struct listed l;
	if (!above->listing || above->listed_ns <= n->known_ns)
		return true;
	if (listing_find(above->listing, n->path + n->name, &l) < 0 ||
		l.is_key != (n->doorway != NULL))
		return false;
	n->known_ns = above->listed_ns;
	if (n->doorway)
		n->mtime_s = l.mtime_s;
	return true;
}

static bool was_found_empty(const struct node *n)
{
	return n->listing && n->listed_ns > n->known_ns && !listing_count(n->listing);
}

/* May the name lead elsewhere by now? A key that was opened goes on whatever the store
 * has. One that was not is asked about as often as a name that the kernel does not know,
 * by opening it, which who wants to read has to do anyway. A directory is asked about
 * only where a listing, its own or the one it is in, speaks against it, and not while a
 * path into a key that was opened leads through it. */
static bool is_doubtful_locked(const struct keyspace *k, struct node *n)
{
	if (n->doorway)
		return !doorway_was_opened(n->doorway) &&
		       (!agrees_with_listing(n) ||
			       clock_monotonic_ns() - n->known_ns >= KEYSPACE_FRESH_NS);
	return (!agrees_with_listing(n) || was_found_empty(n)) &&
	       !node_table_leads_to_opened(&k->nodes, n);
}

/* Among the nodes, or in a fresh listing. */
static bool name_known(void *arg)
{
	struct wanted_name *w = arg;
	if (is_lost_locked(w))
		return false;
	struct node *n = node_table_child(&w->k->nodes, w->parent, w->name);
	struct listed l;
	if (n && is_doubtful_locked(w->k, n))
		return false;
	if (!n && is_fresh(w->parent) &&
		listing_find(w->parent->listing, w->name, &l) == 0 &&
		add_listed_locked(w->k, w->parent, &l, &n) < 0)
		return false;
	if (!n)
		return false;
	n->lookups++;
	describe(n, w->found);
	return true;
}

/* 0, -ENOENT, or -EAGAIN: the store has to be asked. */
static int at_hand(struct wanted_name *w)
{
	LOCK_SCOPE(&w->k->lock);
	if (name_known(w))
		return 0;
	return is_lost_locked(w) ? -ENOENT : -EAGAIN;
}

static int any_entry(void *arg, const struct list_entry *entry)
{
	*(bool *)arg = true;
	return 1;
}

/* Do keys lie below this name? A store that cannot or will not list has no directories.
 */
static int is_directory(
	struct keyspace *k, const struct call *call, const char *path, struct error *e)
{
	char prefix[KEY_MAX + 4];
	bool any = false;
	snprintf(prefix, sizeof(prefix), "%s/", path);
	int r = store_list(k->supply->store, call, prefix, false, any_entry, &any, e);
	if (any)
		return 0;
	if (r < 0 && r != -EOPNOTSUPP && r != -EACCES && r != -ENOENT)
		return r;
	return error_set(e, -ENOENT, "no key '%s'", path);
}

/* The node that the name has already, for what the store was found to have there: while
 * it was asked, somebody may have found the name in a listing. NULL: there is none, or
 * one of the other kind, which loses its name: a key wins, unless one below the directory
 * was opened, and a directory over what is no more. */
static struct node *node_for_found(const struct wanted_name *w, bool is_key)
{
	struct node *n = node_table_child(&w->k->nodes, w->parent, w->name);
	if (!n || is_key == (n->doorway != NULL))
		return n;
	if (n->doorway ? !is_doubtful_locked(w->k, n)
		       : node_table_leads_to_opened(&w->k->nodes, n))
		return n;
	node_table_unname(&w->k->nodes, n);
	return NULL;
}

/* One name is one node: the doorway is not taken over where there is one. */
static int add_found(struct wanted_name *w, struct doorway *doorway, bool *ret_taken)
{
	LOCK_SCOPE(&w->k->lock);
	struct node *n = node_for_found(w, doorway != NULL);
	*ret_taken = !n;
	int r = n ? 0
		  : add_node_locked(
			    w->k, w->parent, w->name, doorway, clock_realtime_s(), 0, &n);
	if (r < 0)
		return r;
	n->known_ns = clock_monotonic_ns();
	n->lookups++;
	describe(n, w->found);
	return 0;
}

/* 0, or -EBADMSG: it was no archive a moment ago. */
static int check_not_junk(struct keyspace *k, const char *path, struct error *e)
{
	LOCK_SCOPE(&k->lock);
	const struct error *why = duds_find(&k->duds, clock_monotonic_ns(), path);
	if (!why || why->code != -EBADMSG)
		return 0;
	error_copy(e, why);
	return why->code;
}

static void note_junk(struct keyspace *k, const char *path, const struct error *why)
{
	LOCK_SCOPE(&k->lock);
	uint64_t now_ns = clock_monotonic_ns();
	duds_note(&k->duds, now_ns, now_ns + DUD_NS, path, -EBADMSG, why);
}

/* Opens the name as a key. What is no archive gets no node, so its doorway cannot keep in
 * mind that it was looked at just now. */
static int find_key(
	struct wanted_name *w, const struct call *call, const char *path, struct error *e)
{
	struct keyspace *k = w->k;
	struct doorway *doorway;
	int r = check_not_junk(k, path, e);
	if (r == 0)
		r = doorway_new(k->supply, k->hooks, path, &doorway);
	if (r < 0)
		return r;
	CLEANUP(cleanup_generation) struct generation *g = NULL;
	r = doorway_generation(doorway, call, &g, e);
	if (r == -EBADMSG)
		note_junk(k, path, e);
	bool taken = false;
	if (r == 0)
		r = add_found(w, doorway, &taken);
	if (r < 0 || !taken) {
		doorway_close(doorway);
		doorway_unref(doorway);
	}
	return r;
}

static bool take_known_key(struct wanted_name *w)
{
	LOCK_SCOPE(&w->k->lock);
	struct node *n = node_table_child(&w->k->nodes, w->parent, w->name);
	if (!n || !n->doorway)
		return false;
	n->lookups++;
	describe(n, w->found);
	return true;
}

/* Opens the key whose node is there, but in doubt. The lookup is counted before, so that
 * the node stays. */
static int open_known(struct wanted_name *w, const struct call *call, struct error *e)
{
	CLEANUP(cleanup_generation) struct generation *g = NULL;
	int r = doorway_generation(w->found->doorway, call, &g, e);
	if (r < 0)
		keyspace_forget(w->k, w->found->number, 1);
	return r;
}

/* The one asker's work. */
static int find_name(struct wanted_name *w, const struct call *call, struct error *e)
{
	char path[KEY_MAX + 2];
	int r = key_of(w->parent, w->name, path);
	if (r < 0 || key_check(path, NULL) < 0)
		return error_set(e, -ENOENT, "no key '%s'", path);
	r = take_known_key(w) ? open_known(w, call, e) : find_key(w, call, path, e);
	if (r == -ENOENT)
		r = is_directory(w->k, call, path, e);
	else
		return r;
	bool taken;
	return r < 0 ? r : add_found(w, NULL, &taken);
}

static int pending_enter(struct wanted_name *w, struct pending **ret)
{
	LOCK_SCOPE(&w->k->lock);
	struct pending *p = w->k->pending;
	while (p && (p->parent != w->parent || strcmp(p->name, w->name) != 0))
		p = p->next;
	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->name = strdup(w->name);
		if (!p->name || flight_init(&p->flight) < 0) {
			free(p->name);
			free(p);
			return -ENOMEM;
		}
		p->parent = w->parent;
		p->next = w->k->pending;
		w->k->pending = p;
	}
	p->users++;
	*ret = p;
	return 0;
}

static void pending_leave(struct keyspace *k, struct pending *p)
{
	{
		LOCK_SCOPE(&k->lock);
		if (--p->users)
			return;
		struct pending **at = &k->pending;
		while (*at != p)
			at = &(*at)->next;
		*at = p->next;
	}
	flight_finish(&p->flight);
	free(p->name);
	free(p);
}

int keyspace_lookup(struct keyspace *k, const struct call *call, uint32_t directory,
	const char *name, bool may_wait, struct shown *ret, struct error *e)
{
	struct shown found;
	struct wanted_name w = {k, directory_of(k, directory), name, &found};
	struct error scratch = {0};
	if (!w.parent)
		return -ENOTDIR;
	if (!e)
		e = &scratch;
	int r = at_hand(&w);
	if (r < 0 && (r != -EAGAIN || !may_wait))
		return r;
	if (r < 0) {
		struct pending *p;
		r = pending_enter(&w, &p);
		if (r < 0)
			return r;
		r = flight_join(&p->flight, &k->lock, call, name_known, &w, e);
		if (r == FLIGHT_OWNER) {
			r = find_name(&w, call, e);
			flight_land(&p->flight, &k->lock, r, e);
		}
		pending_leave(k, p);
		if (r < 0)
			return r;
	}
	*ret = found;
	return 0;
}

void keyspace_lose(struct keyspace *k, uint32_t number, uint64_t until_ns)
{
	LOCK_SCOPE(&k->lock);
	const struct node *n = node_table_get(&k->nodes, number);
	if (n && n->parent && !n->unnamed)
		duds_note(&k->duds, clock_monotonic_ns(), until_ns, n->path, -ENOENT,
			NULL);
}

/* --- all of them ------------------------------------------------------------------ */

static void collect_doorways(struct keyspace *k, struct doorway_vec *ret)
{
	LOCK_SCOPE(&k->lock);
	for (size_t i = 0; i < k->nodes.size; i++)
		for (struct node *n = k->nodes.numbers[i]; n; n = n->by_number)
			if (n->doorway && doorway_vec_push(ret, n->doorway) == 0)
				doorway_ref(n->doorway);
}

void keyspace_each_doorway(
	struct keyspace *k, bool (*fn)(void *arg, struct doorway *d), void *arg)
{
	struct doorway_vec all = {0};
	collect_doorways(k, &all);
	bool more = true;
	for (size_t i = 0; i < all.len; i++) {
		more = more && fn(arg, all.data[i]);
		doorway_unref(all.data[i]);
	}
	doorway_vec_finish(&all);
}
