/* What is appended comes back as it was written; what can't be appended is refused with the reason. */
#include "check.h"

#include <time.h>

static const char *data = "{\"z\":1,\"a\":12345678901234567890123,\"a\":1.50,\"s\":\"\\u00e9\\n\"}";

static void data_comes_back_as_written(plsm_pool_t *pool)
{
    const char *tags[] = {"b", "a\"q", "b"};
    plsm_buf_t appended = {NULL, 0}, got = {NULL, 0};
    char padded[200];
    snprintf(padded, sizeof padded, " \n%s\t ", data);
    CHECK(plsm_pool_append_json(pool, (const uint8_t *)padded, strlen(padded), tags, 3, 0, &appended, NULL) == 0);
    CHECK(begins_with(&appended, "{\"seq\":1,\"time\":\"2"));
    CHECK(plsm_pool_get_json(pool, 1, &got, NULL) == 0);
    CHECK(got.len == appended.len && memcmp(got.data, appended.data, got.len) == 0);
    char tail[300];
    snprintf(tail, sizeof tail, "Z\",\"meta\":{\"tags\":[\"b\",\"a\\\"q\",\"b\"]},\"data\":%s}", data);
    CHECK(ends_in(&got, tail));
    plsm_buf_free(&appended);
    plsm_buf_free(&got);
    CHECK(got.data == NULL && got.len == 0);
    plsm_buf_free(&got);
}

static void refuse(plsm_pool_t *pool, const char *json, size_t len, const char *text, int has_offset)
{
    plsm_buf_t message = {(uint8_t *)"x", 1};
    plsm_error_t *error = NULL;
    CHECK_FAILS(plsm_pool_append_json(pool, (const uint8_t *)json, len, NULL, 0, 0, &message, &error), error,
                PLSM_ERR_USAGE, text);
    CHECK(error->has_offset == has_offset);
    CHECK(message.data == NULL && message.len == 0);
    plsm_error_free(error);
}

static void what_is_no_object_is_refused(plsm_pool_t *pool)
{
    refuse(pool, "[1]", 3, "data must be a JSON object", 1);
    refuse(pool, "7", 1, "data must be a JSON object", 1);
    refuse(pool, "{\"a\":}", 6, "invalid json", 1);
    refuse(pool, "{} {}", 5, "invalid json", 1);
    refuse(pool, "", 0, "invalid json", 1);
    refuse(pool, "{\"a\":\"\xff\"}", 9, "UTF-8", 1);
    refuse(pool, "{}\0", 3, "invalid json", 1);
    refuse(pool, "{}", (size_t)-2, "length", 0);
}

static void bad_tags_and_durability_are_refused(plsm_pool_t *pool)
{
    const uint8_t *json = (const uint8_t *)"{}";
    const char *hole[] = {"a", NULL}, *bytes[] = {"\xff"}, *empty[] = {""};
    plsm_buf_t message;
    plsm_error_t *error = NULL;
    CHECK_FAILS(plsm_pool_append_json(pool, json, 2, hole, 2, 0, &message, &error), error, 2, "tags[1] is null");
    plsm_error_free(error);
    CHECK_FAILS(plsm_pool_append_json(pool, json, 2, bytes, 1, 0, &message, &error), error, 2, "tags[0] is not UTF-8");
    plsm_error_free(error);
    CHECK_FAILS(plsm_pool_append_json(pool, json, 2, empty, 1, 0, &message, &error), error, 2, "empty");
    plsm_error_free(error);
    CHECK_FAILS(plsm_pool_append_json(pool, json, 2, NULL, 1, 0, &message, &error), error, 2, "tags is null");
    plsm_error_free(error);
    CHECK_FAILS(plsm_pool_append_json(pool, json, 2, NULL, 0, 2, &message, &error), error, 2, "durability=2");
    plsm_error_free(error);
    CHECK(plsm_pool_append_json(pool, json, 2, NULL, 0, PLSM_DURABILITY_FLUSH, &message, &error) == 0);
    plsm_buf_free(&message);
}

static void a_receipt_tells_the_seq_and_the_time(plsm_pool_t *pool)
{
    plsm_receipt_t receipt = {9, 9}, next;
    plsm_buf_t message = {NULL, 0};
    plsm_error_t *error = NULL;
    const char *tags[] = {"t"};
    char start[80];
    struct tm day;
    CHECK(plsm_pool_append(pool, (const uint8_t *)"{\"a\":1}", PLSM_TO_NUL, tags, 1, 0, &receipt, &error) == 0);
    CHECK(plsm_pool_get_json(pool, receipt.seq, &message, NULL) == 0);
    CHECK(ends_in(&message, "Z\",\"meta\":{\"tags\":[\"t\"]},\"data\":{\"a\":1}}"));
    time_t seconds = (time_t)(receipt.time_ns / 1000000000);
    CHECK(gmtime_r(&seconds, &day) != NULL && strftime(start, sizeof start, "%Y-%m-%dT%H:%M:%S", &day) == 19);
    char wanted[200];
    snprintf(wanted, sizeof wanted, "{\"seq\":%llu,\"time\":\"%s.%09lluZ\"", (unsigned long long)receipt.seq, start,
             (unsigned long long)(receipt.time_ns % 1000000000));
    CHECK(begins_with(&message, wanted));
    plsm_buf_free(&message);
    CHECK(plsm_pool_append(pool, (const uint8_t *)"{}x", 2, NULL, 0, PLSM_DURABILITY_FLUSH, &next, NULL) == 0);
    CHECK(next.seq == receipt.seq + 1 && next.time_ns >= receipt.time_ns);
    CHECK(plsm_pool_append(pool, (const uint8_t *)"{}", 2, NULL, 0, 0, NULL, NULL) == 0);
    CHECK_FAILS(plsm_pool_append(pool, (const uint8_t *)"{}x", PLSM_TO_NUL, NULL, 0, 0, &next, &error), error,
                PLSM_ERR_USAGE, "invalid json");
    CHECK(next.seq == 0 && next.time_ns == 0 && error->offset == 2);
    plsm_error_free(error);
    CHECK_FAILS(plsm_pool_append(pool, (const uint8_t *)"{}", 2, NULL, 0, 7, NULL, &error), error, PLSM_ERR_USAGE,
                "durability=7");
    plsm_error_free(error);
}

static void a_message_larger_than_the_pool_is_refused(plsm_client_t *client)
{
    plsm_pool_t *pool = pool_of(client, "small", 16384);
    char json[20000];
    memset(json, 'x', sizeof json);
    memcpy(json, "{\"a\":\"", 6);
    memcpy(json + sizeof json - 2, "\"}", 2);
    plsm_buf_t message;
    plsm_error_t *error = NULL;
    CHECK_FAILS(plsm_pool_append_json(pool, (const uint8_t *)json, sizeof json, NULL, 0, 0, &message, &error), error, 2,
                "20000");
    plsm_error_free(error);
    plsm_pool_free(pool);
}

static void a_missing_message_is_not_found(plsm_pool_t *pool)
{
    uint64_t seqs[] = {0, 999, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        plsm_buf_t message;
        plsm_error_t *error = NULL;
        CHECK_FAILS(plsm_pool_get_json(pool, seqs[i], &message, &error), error, PLSM_ERR_NOT_FOUND, "not in the pool");
        CHECK(error->has_seq == 1 && error->seq == seqs[i] && error->path == NULL);
        CHECK(message.data == NULL);
        plsm_error_free(error);
    }
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    plsm_client_t *client = client_of(argv[1]);
    plsm_pool_t *pool = pool_of(client, "docs", 0);
    data_comes_back_as_written(pool);
    what_is_no_object_is_refused(pool);
    bad_tags_and_durability_are_refused(pool);
    a_receipt_tells_the_seq_and_the_time(pool);
    a_message_larger_than_the_pool_is_refused(client);
    a_missing_message_is_not_found(pool);
    plsm_pool_free(pool);
    plsm_client_free(client);
    return 0;
}
