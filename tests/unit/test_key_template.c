#include "tests/unit/test.h"

#include <errno.h>
#include <string.h>

#include "fetch/base/cleanup.h"
#include "tools/key_template.h"

static const char *variable(void *arg, const char *name)
{
	return !strcmp(name, "BRANCH") ? "topic/1" : NULL;
}

/* Stands for the files: joins the globs, refuses the one called "none". */
static int checksum(void *arg, const char *const *globs, size_t count, struct buf *ret,
	struct error *e)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(globs[i], "none"))
			return error_set(e, -ENOENT, "'none' matches no file");
		buf_printf(ret, "<%s>", globs[i]);
	}
	return 0;
}

static const struct key_facts facts = {
	.os = "linux",
	.arch = "amd64",
	.now_s = 1700000000,
	.variable = variable,
	.checksum = checksum,
};

static void expects(const char *template, const char *expansion)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(100);
	assert_int_equal(key_template_expand(template, &facts, &b, NULL), 0);
	assert_string_equal(buf_str(&b), expansion);
}

static void refuses(const char *template, int code, const char *word)
{
	CLEANUP(buf_finish) struct buf b = BUF_INIT(100);
	struct error e = { 0 };
	assert_int_equal(key_template_expand(template, &facts, &b, &e), code);
	assert_non_null(strstr(e.text, word));
}

static void expands_each_function(void **state)
{
	expects("plain", "plain");
	expects("", "");
	expects("{{os}}/{{ arch }}-{{\tepoch }}.", "linux/amd64-1700000000.");
	expects("{{ env \"BRANCH\" }}", "topic/1");
	expects("{{ env 'NONE' \"main\" }}", "main");
	expects("{{ env \"NONE\" \"\" }}x", "x");
	expects("v1-{{ checksum \"a b\" 'c\"d' \"e\\\"\\\\f\" }}", "v1-<a b><c\"d><e\"\\f>");
	expects("{ }} { {", "{ }} { {");
}

static void says_what_is_wrong(void **state)
{
	refuses("{{ nope }}", -EINVAL, "'nope'");
	refuses("{{ os", -EINVAL, "}}");
	refuses("{{ }}", -EINVAL, "function name");
	refuses("{{ env }}", -EINVAL, "'env'");
	refuses("{{ os \"x\" }}", -EINVAL, "'os'");
	refuses("{{ env \"NONE\" }}", -EINVAL, "'NONE'");
	refuses("{{ env \"NONE }}", -EINVAL, "quote");
	refuses("{{ checksum none }}", -EINVAL, "quoted");
	refuses("{{ checksum \"none\" }}", -ENOENT, "'none'");
}

static void keeps_its_caps(void **state)
{
	char template[200];
	memset(template, 'k', sizeof(template));
	template[100] = '\0';
	expects(template, template);
	template[100] = 'k';
	template[101] = '\0';
	refuses(template, -EMSGSIZE, "longer than 100");
	char many[400] = "{{ checksum ";
	for (int i = 0; i < KEY_TEMPLATE_ARGS + 1; i++)
		strcat(many, "'x' ");
	refuses(strcat(many, "}}"), -EINVAL, "more than 32");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(expands_each_function),
		cmocka_unit_test(says_what_is_wrong),
		cmocka_unit_test(keeps_its_caps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
