/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

uint64_t transfer_time(uint64_t rate, uint64_t n)
{
	return rate ? (uint64_t)((unsigned __int128)n * NS_PER_S / rate) : 0;
}

static bool is_open(const struct link *link)
{
	return !link->rate || link->free_at <= link->loop->now + LINK_AHEAD;
}

static void link_arm(struct link *link)
{
	uint64_t at = list_empty(&link->waiting) ? NEVER : link_look_at(link->free_at);

	timer_set(link->loop, &link->timer, at);
}

static void link_on_time(struct timer *timer)
{
	struct link *link = container_of(timer, struct link, timer);
	struct list *node;

	while (is_open(link) && (node = list_pop(&link->waiting))) {
		struct link_user *user = container_of(node, struct link_user, node);

		user->on_turn(user);
	}
	link_arm(link);
}

void link_init(struct link *link, struct loop *loop)
{
	*link = (struct link){.loop = loop, .timer.on_time = link_on_time};
	list_init(&link->waiting);
}

void link_set_rate(struct link *link, uint64_t rate)
{
	link->rate = rate;
	link->free_at = link->loop->now;
	link_arm(link);
}

bool link_enter(struct link *link, struct link_user *user)
{
	if (is_open(link) && list_empty(&link->waiting))
		return true;
	if (list_empty(&user->node))
		list_append(&link->waiting, &user->node);
	link_arm(link);
	return false;
}

void link_leave(struct link_user *user)
{
	list_remove(&user->node);
}

uint64_t link_pass(struct link *link, uint64_t n)
{
	if (!link->rate)
		return 0;
	if (link->free_at < link->loop->now)
		link->free_at = link->loop->now;
	link->free_at += transfer_time(link->rate, n);
	return link->free_at;
}
