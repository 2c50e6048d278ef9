#include "archive/foreign_tree.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "archive/format.h"
#include "fetch/base/vec.h"

#define NONE UINT32_MAX

struct node {
	const char *name; /* owned by out */
	uint32_t parent;
	uint32_t inode; /* NONE: the name was taken back */
	uint32_t children;
	uint8_t name_len;
};

DEFINE_VEC(node_vec, struct node);
DEFINE_VEC(inode_vec, struct foreign_inode);

struct foreign_tree {
	struct tree
		*out; /* owned: holds the strings from the start, entries at the end */
	struct node_vec nodes;   /* 0 is the root */
	struct inode_vec inodes; /* target, xattrs: owned by out */
	uint32_t *slots;         /* owned: hash of (parent, name) -> node; NONE: free */
	size_t slot_count;       /* a power of two */
	uint64_t seed;
	uint32_t made_parents;
};

void foreign_tree_free(struct foreign_tree *t)
{
	if (!t)
		return;
	tree_free(t->out);
	node_vec_finish(&t->nodes);
	inode_vec_finish(&t->inodes);
	free(t->slots);
	free(t);
}

/* --- finding names -------------------------------------------------------------------
 */

/* FNV-1a from a secret start, so that an archive cannot be made of collisions. */
static uint64_t hash_name(
	const struct foreign_tree *t, uint32_t parent, const char *name, size_t len)
{
	uint64_t h = (t->seed ^ parent) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < len; i++)
		h = ((h ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3)) ^ (h >> 47);
	return h ^ (h >> 32);
}

static bool is_named(const struct node *n, uint32_t parent, const char *name, size_t len)
{
	return n->parent == parent && n->name_len == len &&
	       memcmp(n->name, name, len) == 0;
}

/* The slot where the name is, or where it would go. */
static uint32_t *find_slot(
	const struct foreign_tree *t, uint32_t parent, const char *name, size_t len)
{
	size_t i = hash_name(t, parent, name, len) & (t->slot_count - 1);
	while (t->slots[i] != NONE &&
		!is_named(&t->nodes.data[t->slots[i]], parent, name, len))
		i = (i + 1) & (t->slot_count - 1);
	return &t->slots[i];
}

static int grow_slots(struct foreign_tree *t)
{
	if (t->nodes.len * 2 < t->slot_count)
		return 0;
	size_t count = t->slot_count * 2;
	uint32_t *bigger = malloc(count * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	memset(bigger, 0xff, count * sizeof(*bigger));
	free(t->slots);
	t->slots = bigger;
	t->slot_count = count;
	for (uint32_t i = 1; i < t->nodes.len; i++) {
		const struct node *n = &t->nodes.data[i];
		*find_slot(t, n->parent, n->name, n->name_len) = i;
	}
	return 0;
}

static bool is_directory(const struct foreign_tree *t, uint32_t node)
{
	uint32_t inode = t->nodes.data[node].inode;
	return inode != NONE && S_ISDIR(t->inodes.data[inode].mode);
}

/* --- adding --------------------------------------------------------------------------
 */

static int add_node(struct foreign_tree *t, uint32_t parent, const char *name, size_t len,
	uint32_t *ret)
{
	uint32_t *slot = find_slot(t, parent, name, len);
	if (*slot != NONE) {
		*ret = *slot;
		return 0;
	}
	if (t->nodes.len >= FOREIGN_ENTRY_LIMIT)
		return -E2BIG;
	const char *kept = tree_keep(t->out, name, len);
	if (!kept)
		return -ENOMEM;
	struct node n = {
		.name = kept, .parent = parent, .inode = NONE, .name_len = (uint8_t)len};
	int r = node_vec_push(&t->nodes, n);
	if (r < 0)
		return r;
	*slot = *ret = (uint32_t)t->nodes.len - 1;
	return grow_slots(t);
}

static int add_inode(
	struct foreign_tree *t, const struct foreign_inode *inode, uint32_t *ret)
{
	struct foreign_inode copy = *inode;
	if (copy.target)
		copy.target = tree_keep(t->out, copy.target, strlen(copy.target));
	if (inode->target && !copy.target)
		return -ENOMEM;
	int r = inode_vec_push(&t->inodes, copy);
	if (r < 0)
		return r;
	*ret = (uint32_t)t->inodes.len - 1;
	return 0;
}

/* Gives the node an inode, in the place of the one it has. */
static int assign(struct foreign_tree *t, uint32_t node, uint32_t inode)
{
	struct node *n = &t->nodes.data[node];
	bool directory = S_ISDIR(t->inodes.data[inode].mode);
	if (!node && !directory)
		return -ENOTDIR;
	if (n->children && !directory)
		return -ENOTEMPTY;
	if (node && n->inode == NONE)
		t->nodes.data[n->parent].children++;
	n->inode = inode;
	return 0;
}

static int make_parent(struct foreign_tree *t, uint32_t node)
{
	const struct foreign_inode plain = {.mode = S_IFDIR | 0755};
	uint32_t inode;
	if (t->made_parents >= FOREIGN_PARENT_LIMIT)
		return -E2BIG;
	t->made_parents++;
	int r = add_inode(t, &plain, &inode);
	return r < 0 ? r : assign(t, node, inode);
}

/* Walks to the node of path, which is made, its parents with an inode, itself without.
 */
static int reach(struct foreign_tree *t, const char *path, uint32_t *ret)
{
	uint32_t node = 0;
	while (*path) {
		size_t len = strcspn(path, "/");
		if (node && t->nodes.data[node].inode == NONE) {
			int r = make_parent(t, node);
			if (r < 0)
				return r;
		}
		if (!is_directory(t, node))
			return -ENOTDIR;
		int r = add_node(t, node, path, len, &node);
		if (r < 0)
			return r;
		path += len + (path[len] == '/');
	}
	*ret = node;
	return 0;
}

int foreign_tree_put(struct foreign_tree *t, const char *path,
	const struct foreign_inode *inode, uint32_t *ret)
{
	uint32_t node, number;
	int r = inode->xattrs ? tree_own(t->out, inode->xattrs) : 0;
	if (r == 0)
		r = reach(t, path, &node);
	if (r == 0)
		r = add_inode(t, inode, &number);
	if (r == 0)
		r = assign(t, node, number);
	if (r == 0)
		*ret = number;
	return r;
}

/* What path names now; NONE: nothing. */
static uint32_t look_up(const struct foreign_tree *t, const char *path)
{
	uint32_t node = 0;
	while (*path && node != NONE) {
		size_t len = strcspn(path, "/");
		node = *find_slot(t, node, path, len);
		path += len + (path[len] == '/');
	}
	return node == NONE ? NONE : t->nodes.data[node].inode;
}

int foreign_tree_link(struct foreign_tree *t, const char *path, const char *target)
{
	uint32_t node, inode = look_up(t, target);
	if (inode == NONE || S_ISDIR(t->inodes.data[inode].mode))
		return -ENOENT;
	int r = reach(t, path, &node);
	return r < 0 ? r : assign(t, node, inode);
}

void foreign_tree_set_content(struct foreign_tree *t, uint32_t inode, uint64_t size,
	const uint8_t digest[TREE_DIGEST])
{
	t->inodes.data[inode].size = size;
	memcpy(t->inodes.data[inode].digest, digest, TREE_DIGEST);
}

struct foreign_tree *foreign_tree_new(void)
{
	CLEANUP(cleanup_foreign_tree) struct foreign_tree *t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->out = tree_new();
	t->slot_count = 1024;
	t->slots = malloc(t->slot_count * sizeof(*t->slots));
	if (!t->out || !t->slots)
		return NULL;
	memset(t->slots, 0xff, t->slot_count * sizeof(*t->slots));
	if (getrandom(&t->seed, sizeof(t->seed), GRND_NONBLOCK) < 0)
		t->seed = (uint64_t)(uintptr_t)t;
	const struct foreign_inode root = {.mode = S_IFDIR | 0755};
	uint32_t inode;
	if (add_inode(t, &root, &inode) < 0 ||
		node_vec_push(&t->nodes, (struct node){.name = "", .inode = inode}) < 0)
		return NULL;
	return steal_pointer(t);
}

/* --- the sorted tree -----------------------------------------------------------------
 */

static int compare_nodes(const void *a, const void *b, void *arg)
{
	const struct node *nodes = arg;
	const struct node *x = &nodes[*(const uint32_t *)a];
	const struct node *y = &nodes[*(const uint32_t *)b];
	if (x->parent != y->parent)
		return x->parent < y->parent ? -1 : 1;
	size_t len = x->name_len < y->name_len ? x->name_len : y->name_len;
	int r = memcmp(x->name, y->name, len);
	return r ? r : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

/* One way down the tree, as arrays that are as long as there are nodes. */
struct sorting {
	uint32_t *sorted; /* owned: living nodes but the root, by parent, then name */
	uint32_t *begin;  /* owned: where a node's children begin in sorted */
	uint32_t *entry;  /* owned: of a node; in the tree */
	uint32_t *first;  /* owned: of an inode; its first entry in the tree */
	uint32_t count;   /* of sorted */
};

static void sorting_finish(struct sorting *s)
{
	free(s->sorted);
	free(s->begin);
	free(s->entry);
	free(s->first);
}

static int sorting_init(struct sorting *s, const struct foreign_tree *t)
{
	size_t n = t->nodes.len;
	s->sorted = calloc(n, sizeof(uint32_t));
	s->begin = calloc(n, sizeof(uint32_t));
	s->entry = calloc(n, sizeof(uint32_t));
	s->first = malloc(t->inodes.len * sizeof(uint32_t));
	if (!s->sorted || !s->begin || !s->entry || !s->first)
		return -ENOMEM;
	memset(s->first, 0xff, t->inodes.len * sizeof(uint32_t));
	for (uint32_t i = 1; i < n; i++)
		if (t->nodes.data[i].inode != NONE)
			s->sorted[s->count++] = i;
	qsort_r(s->sorted, s->count, sizeof(uint32_t), compare_nodes, t->nodes.data);
	for (uint32_t i = s->count; i--;)
		s->begin[t->nodes.data[s->sorted[i]].parent] = i;
	return 0;
}

static int emit(const struct foreign_tree *t, struct sorting *s, uint32_t node)
{
	const struct node *n = &t->nodes.data[node];
	const struct foreign_inode *inode = &t->inodes.data[n->inode];
	struct tree_entry *entry;
	int r = tree_append(t->out, n->name, &entry);
	if (r < 0)
		return r;
	s->entry[node] = tree_count(t->out) - 1;
	entry->parent = s->entry[n->parent];
	entry->mode = inode->mode;
	entry->mtime_s = inode->mtime_s;
	entry->mtime_ns = inode->mtime_ns;
	entry->primary = s->first[n->inode];
	if (entry->primary == TREE_NO_LINK)
		s->first[n->inode] = s->entry[node];
	if (S_ISREG(inode->mode)) {
		entry->size = inode->size;
		entry->place = inode->place;
		memcpy(entry->digest, inode->digest, TREE_DIGEST);
	}
	if (S_ISLNK(inode->mode)) {
		entry->target = inode->target;
		entry->size = strlen(inode->target);
	} else {
		entry->xattrs = inode->xattrs;
	}
	return 0;
}

/* What comes after `node` depth first: its first child, else the next child of the
 * nearest directory above that has one left. at[]: begin[], used up on the way. */
static uint32_t next_node(const struct foreign_tree *t, struct sorting *s, uint32_t node)
{
	for (;;) {
		uint32_t i = s->begin[node];
		if (t->nodes.data[node].children && i < s->count &&
			t->nodes.data[s->sorted[i]].parent == node) {
			s->begin[node]++;
			return s->sorted[i];
		}
		if (!node)
			return 0;
		node = t->nodes.data[node].parent;
	}
}

int foreign_tree_finish(struct foreign_tree *t, struct tree **ret)
{
	CLEANUP(sorting_finish) struct sorting s = {0};
	int r = sorting_init(&s, t);
	uint32_t node = 0;
	while (r == 0) {
		r = emit(t, &s, node);
		node = next_node(t, &s, node);
		if (!node)
			break;
	}
	if (r == 0)
		*ret = steal_pointer(t->out);
	return r;
}
