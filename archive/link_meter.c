#include "archive/link_meter.h"

#define FADE 0.966 /* 0.5 ^ (1 / 20) */

void link_meter_add(struct link_meter *m, uint64_t bytes, uint64_t ns)
{
	double x = (double)bytes, y = (double)ns;
	m->weight = m->weight * FADE + 1;
	m->bytes = m->bytes * FADE + x;
	m->ns = m->ns * FADE + y;
	m->bytes_squared = m->bytes_squared * FADE + x * x;
	m->bytes_ns = m->bytes_ns * FADE + x * y;
}

/* The slope in ns a byte; reads that were all of one size, or got faster with size, do
 * not tell, and are then taken to wait half of the time. */
static double slope_of(const struct link_meter *m, double bytes, double ns)
{
	double variance = m->bytes_squared / m->weight - bytes * bytes;
	double covariance = m->bytes_ns / m->weight - bytes * ns;
	double most = ns / bytes;
	if (variance < bytes * bytes / 100 || covariance <= 0)
		return most / 2;
	double slope = covariance / variance;
	return slope < most * 0.95 ? slope : most * 0.95;
}

static uint64_t at_least_one(double v)
{
	if (v < 1)
		return 1;
	return v < 1e18 ? (uint64_t)v : (uint64_t)1e18;
}

void link_meter_estimate(const struct link_meter *m, struct link_facts *ret)
{
	if (m->weight < 1 || m->bytes < 1) {
		ret->round_trip_ns = LINK_FACTS_UNKNOWN.round_trip_ns;
		ret->bytes_per_s = LINK_FACTS_UNKNOWN.bytes_per_s;
		return;
	}
	double bytes = m->bytes / m->weight, ns = m->ns / m->weight;
	double slope = slope_of(m, bytes, ns);
	ret->round_trip_ns = at_least_one(ns - slope * bytes);
	ret->bytes_per_s = at_least_one(slope > 0 ? 1e9 / slope : 1e18);
}
