#include "fetch/publish_way.h"

#include <errno.h>

bool publish_way_is_safe(const struct probe_answer *known)
{
	return known->put == HONOUR_ATOMIC;
}

static void if_absent(
	const struct probe_answer *known, uint64_t stream_size, struct publish_way *way)
{
	way->put_condition = true;
	way->multipart = known->complete == HONOUR_ATOMIC;
	way->complete_condition = way->multipart;
	way->put_max = way->multipart ? stream_size : PUT_SIZE_MAX;
}

/* A condition is worth a spooled copy: it is used for as long as one PUT can carry. */
static void if_absent_where_possible(
	const struct probe_answer *known, uint64_t stream_size, struct publish_way *way)
{
	way->put_condition = known->put >= HONOUR_SEQUENTIAL;
	way->multipart = true;
	way->complete_condition = known->complete >= HONOUR_SEQUENTIAL;
	way->look_first = true;
	way->put_max = way->put_condition && !way->complete_condition ? PUT_SIZE_MAX
								      : stream_size;
}

int publish_way(enum publish_condition asked, const struct probe_answer *known,
	uint64_t stream_size, struct publish_way *ret)
{
	struct publish_way way = {.put_max = stream_size};
	switch (asked) {
	case PUBLISH_OVERWRITE:
		way.multipart = true;
		break;
	case PUBLISH_UNSAFE_OVERWRITE:
		if_absent_where_possible(known, stream_size, &way);
		break;
	case PUBLISH_IF_ABSENT:
		if (!publish_way_is_safe(known))
			return -EOPNOTSUPP;
		if_absent(known, stream_size, &way);
		break;
	}
	*ret = way;
	return 0;
}
