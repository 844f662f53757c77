/* NULL is refused by name before anything is done, and accepted by every free function. */
#include "check.h"

#define NULL_IS_REFUSED(call, name) \
    do { \
        plsm_error_t *error = NULL; \
        CHECK_FAILS(call, error, PLSM_ERR_USAGE, name " is null"); \
        plsm_error_free(error); \
    } while (0)

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    plsm_client_t *client = client_of(argv[1]), *no_client = NULL;
    plsm_pool_t *pool = pool_of(client, "docs", 0), *no_pool = NULL;
    plsm_stream_t *stream = NULL;
    plsm_stream_options_t options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    const uint8_t *json = (const uint8_t *)"{}";
    const char *tags[] = {"t"};
    plsm_buf_t buf;
    int fd = 0;

    NULL_IS_REFUSED(plsm_client_new(argv[1], NULL, &error), "out_client");
    NULL_IS_REFUSED(plsm_pool_create(NULL, "x", 0, &no_pool, &error), "client");
    NULL_IS_REFUSED(plsm_pool_create(client, NULL, 0, &no_pool, &error), "pool_ref");
    NULL_IS_REFUSED(plsm_pool_create(client, "x", 0, NULL, &error), "out_pool");
    NULL_IS_REFUSED(plsm_pool_open(NULL, "docs", &no_pool, &error), "client");
    NULL_IS_REFUSED(plsm_pool_open(client, NULL, &no_pool, &error), "pool_ref");
    NULL_IS_REFUSED(plsm_pool_open(client, "docs", NULL, &error), "out_pool");
    NULL_IS_REFUSED(plsm_pool_open_or_create(NULL, "x", 0, &no_pool, &error), "client");
    NULL_IS_REFUSED(plsm_pool_open_or_create(client, NULL, 0, &no_pool, &error), "pool_ref");
    NULL_IS_REFUSED(plsm_pool_open_or_create(client, "x", 0, NULL, &error), "out_pool");
    NULL_IS_REFUSED(plsm_pool_delete(NULL, "docs", &error), "client");
    NULL_IS_REFUSED(plsm_pool_delete(client, NULL, &error), "pool_ref");
    NULL_IS_REFUSED(plsm_pool_list_json(NULL, &buf, &error), "client");
    NULL_IS_REFUSED(plsm_pool_list_json(client, NULL, &error), "out_json");
    NULL_IS_REFUSED(plsm_pool_info_json(NULL, &buf, &error), "pool");
    NULL_IS_REFUSED(plsm_pool_info_json(pool, NULL, &error), "out_json");
    NULL_IS_REFUSED(plsm_pool_append_json(NULL, json, 2, NULL, 0, 0, &buf, &error), "pool");
    NULL_IS_REFUSED(plsm_pool_append_json(pool, NULL, 2, NULL, 0, 0, &buf, &error), "json_bytes");
    NULL_IS_REFUSED(plsm_pool_append_json(pool, NULL, 0, NULL, 0, 0, &buf, &error), "json_bytes");
    NULL_IS_REFUSED(plsm_pool_append_json(pool, json, 2, NULL, 1, 0, &buf, &error), "tags");
    NULL_IS_REFUSED(plsm_pool_append_json(pool, json, 2, tags, 1, 0, NULL, &error), "out_message");
    NULL_IS_REFUSED(plsm_pool_append(NULL, json, 2, NULL, 0, 0, NULL, &error), "pool");
    NULL_IS_REFUSED(plsm_pool_append(pool, NULL, 2, NULL, 0, 0, NULL, &error), "json_bytes");
    NULL_IS_REFUSED(plsm_pool_append(pool, NULL, PLSM_TO_NUL, NULL, 0, 0, NULL, &error), "json_bytes");
    NULL_IS_REFUSED(plsm_pool_append(pool, json, 2, NULL, 1, 0, NULL, &error), "tags");
    NULL_IS_REFUSED(plsm_pool_append_batch(pool, NULL, 2, NULL, 0, 0, &buf, &error), "json_bytes");
    NULL_IS_REFUSED(plsm_pool_append_batch(NULL, json, 2, NULL, 0, 0, &buf, &error), "pool");
    NULL_IS_REFUSED(plsm_pool_append_batch(pool, json, 2, NULL, 0, 0, NULL, &error), "out_lines");
    NULL_IS_REFUSED(plsm_pool_get_json(NULL, 1, &buf, &error), "pool");
    NULL_IS_REFUSED(plsm_pool_get_json(pool, 1, NULL, &error), "out_message");
    NULL_IS_REFUSED(plsm_pool_wait(NULL, 0, 0, 1, &error), "pool");
    NULL_IS_REFUSED(plsm_stream_open(NULL, 0, 0, 0, 0, 0, 0, &stream, &error), "pool");
    NULL_IS_REFUSED(plsm_stream_open(pool, 0, 0, 0, 0, 0, 0, NULL, &error), "out_stream");
    NULL_IS_REFUSED(plsm_stream_open_ex(NULL, &options, &stream, &error), "pool");
    NULL_IS_REFUSED(plsm_stream_open_ex(pool, NULL, &stream, &error), "options");
    NULL_IS_REFUSED(plsm_stream_open_ex(pool, &options, NULL, &error), "out_stream");
    NULL_IS_REFUSED(plsm_stream_open_tagged(NULL, &options, NULL, 0, &stream, &error), "pool");
    NULL_IS_REFUSED(plsm_stream_open_tagged(pool, NULL, NULL, 0, &stream, &error), "options");
    NULL_IS_REFUSED(plsm_stream_open_tagged(pool, &options, NULL, 0, NULL, &error), "out_stream");
    NULL_IS_REFUSED(plsm_stream_open_tagged(pool, &options, NULL, 1, &stream, &error), "tags");
    NULL_IS_REFUSED(plsm_stream_next(NULL, &buf, &error), "stream");
    NULL_IS_REFUSED(plsm_stream_read(NULL, 0, 0, 0, &buf, &error), "stream");
    NULL_IS_REFUSED(plsm_stream_set_spin(NULL, 1, &error), "stream");
    NULL_IS_REFUSED(plsm_stream_fd(NULL, &fd, &error), "stream");
    CHECK(plsm_stream_open(pool, 0, 0, 0, 0, 0, 1, &stream, NULL) == 0);
    NULL_IS_REFUSED(plsm_stream_fd(stream, NULL, &error), "out_fd");
    NULL_IS_REFUSED(plsm_stream_next(stream, NULL, &error), "out_message");
    NULL_IS_REFUSED(plsm_stream_read(stream, 0, 0, 0, NULL, &error), "out_lines");

    /* Nothing was done by any of them. */
    CHECK(plsm_pool_wait(pool, 0, 0, 1, NULL) == 0);
    CHECK(plsm_pool_open(client, "x", &no_pool, NULL) == -1 && no_pool == NULL && no_client == NULL);
    CHECK(plsm_stream_next(NULL, NULL, NULL) == -1);

    plsm_stream_free(stream);
    plsm_pool_free(pool);
    plsm_client_free(client);
    plsm_client_free(NULL);
    plsm_pool_free(NULL);
    plsm_stream_free(NULL);
    plsm_buf_free(NULL);
    plsm_error_free(NULL);
    return 0;
}
