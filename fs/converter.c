#include "fs/converter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "fetch/base/lock.h"
#include "fetch/base/log.h"
#include "fetch/base/thread.h"

void converter_init(struct converter *c, convert_fn *convert, void *arg)
{
	*c = (struct converter){
		.convert = convert, .arg = arg, .lock = PTHREAD_MUTEX_INITIALIZER};
	cancel_init(&c->cancel);
}

void converter_finish(struct converter *c)
{
	cancel_fire(&c->cancel);
	if (c->has_thread)
		pthread_join(c->thread, NULL);
	cancel_finish(&c->cancel);
	pthread_mutex_destroy(&c->lock);
}

static void *run(void *arg)
{
	struct converter *c = arg;
	struct error e = {0};
	const struct call call = {
		.deadline_ns = DEADLINE_NONE,
		.cancel = &c->cancel,
		.priority = PRIORITY_PREFETCH,
	};
	int r = c->convert(c->arg, c->key, &call, &e);
	if (r == 0)
		log_info("converted '%s'", c->key);
	else if (r != -ECANCELED)
		log_warning("%s", e.text);
	LOCK_SCOPE(&c->lock);
	free(steal_pointer(c->key));
	return NULL;
}

void converter_wish(struct converter *c, const char *key)
{
	LOCK_SCOPE(&c->lock);
	if (c->key)
		return;
	if (c->has_thread)
		pthread_join(c->thread, NULL); /* it has ended */
	c->key = strdup(key);
	c->has_thread = c->key && thread_start(&c->thread, run, c) == 0;
	if (!c->has_thread)
		free(steal_pointer(c->key));
}
