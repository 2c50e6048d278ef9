/* Bytes, words and folders, where memory runs out at any point. */
#include "tests/unit/test.h"

#include "fetch/chunk_cache.h"
#include "fetch/creds.h"
#include "fetch/key_choice.h"
#include "fetch/options.h"
#include "fetch/probe_record.h"
#include "fetch/profile.h"
#include "fetch/publication.h"
#include "fetch/s3_error.h"
#include "fetch/s3_xml.h"
#include "fetch/store_file.h"
#include "fetch/store_url.h"
#include "fetch/sts.h"
#include "tests/unit/aws_home.h"
#include "tests/unit/scarce.h"
#include "tests/unit/scratch.h"

/* --- words -----------------------------------------------------------------------------
 */

static int read_urls(void *arg)
{
	static const char *const urls[] = {
		"s3://bucket/a?region=r&endpoint=http://h:1&path-style=true",
		"https://host.example:8443/a/b", "file:///a/directory", "./relative"};
	int r = 0;
	for (size_t i = 0; r == 0 && i < sizeof(urls) / sizeof(urls[0]); i++) {
		CLEANUP(store_url_finish) struct store_url u = {0};
		struct error e;
		r = store_url_parse(urls[i], &u, &e);
	}
	CLEANUP(buf_finish) struct buf fallback = BUF_INIT(STORE_URL_MAX);
	return r < 0 ? r : store_url_default(&fallback, NULL);
}

static int choose_keys(void *arg)
{
	static const char *const prefixes[] = {"npm-", "yarn-"};
	CLEANUP(key_choice_finish) struct key_choice keys = {0};
	return key_choice_init(&keys, "branch,main", "npm-1", prefixes, 2, NULL);
}

static int read_settings(void *arg)
{
	struct settings s, copy = {0};
	settings_init(&s);
	int r = settings_set(&s, "region", "eu-west-3", NULL);
	if (r == 0)
		r = settings_set(&s, "ca-bundle", "relative/ca.pem", NULL);
	if (r == 0)
		r = settings_from_environment(&s, NULL);
	if (r == 0)
		r = settings_finish_defaults(&s, NULL);
	if (r == 0)
		r = settings_copy(&copy, &s);
	settings_finish(&copy);
	settings_finish(&s);
	return r;
}

static void words_are_read(void **state)
{
	setenv("LARDER_CACHE_DIR", "cache", 1);
	setenv("AWS_ENDPOINT_URL_S3", "http://localhost:1", 1);
	scarce_try("store URLs", read_urls, NULL);
	scarce_try("keys", choose_keys, NULL);
	scarce_try("settings", read_settings, NULL);
	unsetenv("LARDER_CACHE_DIR");
	unsetenv("AWS_ENDPOINT_URL_S3");
}

/* --- answers ---------------------------------------------------------------------------
 */

static int read_page(void *arg)
{
	static const char text[] =
		"<ListBucketResult><EncodingType>url</EncodingType>"
		"<Contents><Key>b%20c</Key><Size>3</Size></Contents>"
		"<Contents><Key>a</Key></Contents>"
		"<CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes></ListBucketResult>";
	struct s3_page page;
	int r = s3_xml_page(text, sizeof(text) - 1, &page);
	if (r == 0)
		s3_page_finish(&page);
	return r;
}

static int read_multipart(void *arg)
{
	static const char begun[] =
		"<InitiateMultipartUploadResult><UploadId>u</UploadId>"
		"</InitiateMultipartUploadResult>";
	static const char ended[] =
		"<CompleteMultipartUploadResult><ETag>&quot;e&quot;</ETag>"
		"</CompleteMultipartUploadResult>";
	static const char *const etags[] = {"\"1\"", "\"2\""};
	char id[UPLOAD_ID_SIZE];
	struct s3_completion completion;
	CLEANUP(buf_finish) struct buf parts = BUF_INIT(4096);
	int r = s3_xml_upload_id(begun, sizeof(begun) - 1, id);
	if (r == 0)
		r = s3_xml_completion(ended, sizeof(ended) - 1, &completion);
	return r < 0 ? r : s3_xml_write_parts(&parts, etags, 2);
}

static int read_sts(void *arg)
{
	static const char text[] =
		"<R><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId>"
		"<SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>"
		"<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
		"</AssumeRoleResult></R>";
	struct credentials c;
	return sts_parse_answer(text, sizeof(text) - 1, &c);
}

static void answers_are_read(void **state)
{
	scarce_try("a page of keys", read_page, NULL);
	scarce_try("an upload's answers", read_multipart, NULL);
	scarce_try("a role's credentials", read_sts, NULL);
}

/* --- credentials -----------------------------------------------------------------------
 */

static int find_credentials(void *arg)
{
	struct settings s;
	struct creds *c = NULL;
	struct credentials found;
	settings_init(&s);
	int r = arg ? settings_set(&s, "profile", arg, NULL) : 0;
	if (r == 0)
		r = creds_new(&s, &c, NULL);
	if (r == 0)
		r = creds_get(c, CALL_PATIENT, &found, NULL);
	if (r == 0)
		assert_string_equal(found.access_key, "AKIA");
	creds_free(c);
	settings_finish(&s);
	return r;
}

static int find_facts(void *arg)
{
	struct settings s;
	struct profile_facts facts = {0};
	settings_init(&s);
	int r = settings_set(&s, "profile", "ci", NULL);
	if (r == 0)
		r = profile_facts_load(&s, &facts, NULL);
	if (r == 0)
		assert_string_equal(facts.region, "eu-west-3");
	if (r == 0)
		profile_facts_finish(&facts);
	settings_finish(&s);
	return r;
}

static int find_role_service(void *arg)
{
	struct settings s;
	struct profile_paths paths = {0};
	struct profile_files files = {0};
	struct sts_endpoint endpoint = {0};
	settings_init(&s);
	int r = profile_paths_find(&paths);
	if (r == 0)
		r = profile_files_load(&paths, &files, NULL);
	if (r == 0)
		r = sts_endpoint_find(&s, &files, "ci", &endpoint, NULL);
	if (r == 0)
		assert_string_equal(
			endpoint.origin, "https://sts.eu-west-3.amazonaws.com");
	sts_endpoint_finish(&endpoint);
	profile_files_finish(&files);
	profile_paths_finish(&paths);
	settings_finish(&s);
	return r;
}

static void credentials_are_found(void **state)
{
	aws_write(".aws/credentials",
		"[ci]\naws_access_key_id = AKIA\naws_secret_access_key = s\n");
	aws_write(".aws/config",
		"[profile ci]\nregion = eu-west-3\nservices = here\n"
		"s3 =\n  addressing_style = path\n"
		"[services here]\ns3 =\n  endpoint_url = http://localhost:1\n"
		"[profile asked]\n"
		"credential_process = echo '{\"Version\": 1, \"AccessKeyId\": \"AKIA\","
		" \"SecretAccessKey\": \"s\"}'\n");
	scarce_try("a profile's facts", find_facts, NULL);
	scarce_try("the service for roles", find_role_service, NULL);
	scarce_try("a profile's credentials", find_credentials, (void *)"ci");
	scarce_try("a program's credentials", find_credentials, (void *)"asked");
	setenv("AWS_ACCESS_KEY_ID", "AKIA", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
	scarce_try("the environment's credentials", find_credentials, NULL);
}

/* --- folders ---------------------------------------------------------------------------
 */

/* What could not be kept or proved is not there, and is not called damaged. */
static int find_chunk(
	struct chunk_cache *c, const struct digest *d, const void *want, size_t len)
{
	char got[64];
	const struct chunk chunk = {.digest = d, .len = len};
	int r = chunk_cache_get(c, &chunk, got);
	if (r == 0)
		assert_memory_equal(got, want, len);
	return r == -ENOENT ? 0 : r;
}

static int use_cache(void *arg)
{
	static const char text[] = "one chunk, two chunks side by side";
	static const uint64_t offsets[] = {9, 20, sizeof(text)};
	CLEANUP(cleanup_chunk_cache) struct chunk_cache *c = NULL;
	struct digest one, two[2];
	int r = digest_of(text, 9, &one);
	for (size_t i = 0; r == 0 && i < 2; i++)
		r = digest_of(
			text + offsets[i], offsets[i + 1] - offsets[i], &two[i]);
	if (r == 0)
		r = chunk_cache_open(arg, 4096, &c, NULL);
	if (r < 0)
		return r;
	chunk_cache_put(c, &one, text, 9);
	chunk_cache_put_run(c, two, offsets, 2, text + 9);
	r = find_chunk(c, &one, text, 9);
	for (size_t i = 0; r == 0 && i < 2; i++)
		r = find_chunk(c, &two[i], text + offsets[i],
			offsets[i + 1] - offsets[i]);
	return r;
}

static void chunks_are_kept(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scarce_try("the chunk cache", use_cache, (void *)scratch_path(&dir, "cache"));
}

static int keep_answer(void *arg)
{
	const struct probe_answer answer = {HONOUR_ATOMIC, HONOUR_NO, 1000};
	struct probe_answer got;
	int r = probe_record_write(arg, "s3 here b", &answer);
	if (r == 0)
		r = probe_record_read(arg, "s3 here b", 1000, &got);
	return r == -ENOENT ? 0 : r; /* unread, it is asked for again */
}

static void a_probe_is_remembered(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scarce_try("a probe's answer", keep_answer, (void *)dir.path);
}

static int publish(struct store *s, const char *key, struct publish_result *ret)
{
	const struct publish_options options = {.condition = PUBLISH_OVERWRITE};
	CLEANUP(cleanup_publication) struct publication *p = NULL;
	int r = publication_begin(s, CALL_PATIENT, key, &options, &p, NULL);
	if (r == 0)
		r = publication_write(p, CALL_PATIENT, "0123456789", 10, NULL);
	return r < 0 ? r : publication_finish(p, CALL_PATIENT, NULL, ret, NULL);
}

static int count_key(void *arg, const struct list_entry *entry)
{
	++*(unsigned *)arg;
	return 0;
}

static int read_back(struct store *s, const char *key)
{
	CLEANUP(cleanup_object) struct object *o = NULL;
	char got[4];
	int r = store_open_object(s, CALL_PATIENT, key, 4, &o, NULL, NULL);
	if (r == 0)
		r = range_source_read(object_source(o), CALL_PATIENT, 2, 4, got, NULL);
	if (r == 0)
		assert_memory_equal(got, "2345", 4);
	return r;
}

static int use_folder(void *arg)
{
	CLEANUP(cleanup_store) struct store *s = NULL;
	struct settings settings;
	struct publish_result published;
	unsigned keys = 0;
	settings_init(&settings);
	int r = store_new(arg, &settings, &s, NULL);
	if (r == 0)
		r = publish(s, "a/key", &published);
	if (r == 0)
		r = read_back(s, "a/key");
	if (r == 0)
		r = store_list(s, CALL_PATIENT, "", true, count_key, &keys, NULL);
	if (r == 0)
		assert_int_equal(keys, 1);
	settings_finish(&settings);
	return r;
}

static void a_folder_is_a_store(void **state)
{
	CLEANUP(scratch_finish) struct scratch dir = scratch_new();
	scarce_try("a folder store", use_folder, (void *)scratch_path(&dir, "store"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_read),
		cmocka_unit_test(answers_are_read),
		cmocka_unit_test(credentials_are_found),
		cmocka_unit_test(chunks_are_kept),
		cmocka_unit_test(a_probe_is_remembered),
		cmocka_unit_test(a_folder_is_a_store),
	};
	return cmocka_run_group_tests(tests, aws_home_make, aws_home_remove);
}
