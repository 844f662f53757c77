/* Pools by name: create, open, delete, list, info, and the errors of each. */
#include "check.h"

#include <sys/stat.h>

static void a_pool_has_the_size_asked_for(plsm_client_t *client, const char *dir)
{
    char path[4096];
    struct stat facts;
    plsm_pool_free(pool_of(client, "sized", 65537));
    snprintf(path, sizeof path, "%s/sized.plasmite", dir);
    CHECK(stat(path, &facts) == 0 && facts.st_size == 65537);
    plsm_pool_free(pool_of(client, "default.plasmite", 0));
    snprintf(path, sizeof path, "%s/default.plasmite", dir);
    CHECK(stat(path, &facts) == 0 && facts.st_size == PLSM_DEFAULT_POOL_SIZE_BYTES);
    snprintf(path, sizeof path, "%s/deep/er/p", dir);
    plsm_pool_free(pool_of(client, path, 0));
    CHECK(stat(path, &facts) == 0);
}

static void errors_name_the_path(plsm_client_t *client)
{
    plsm_pool_t *pool = (plsm_pool_t *)client;
    plsm_error_t *error = NULL;
    CHECK_FAILS(plsm_pool_create(client, "sized", 0, &pool, &error), error, PLSM_ERR_ALREADY_EXISTS, "");
    CHECK(error->path != NULL && strstr(error->path, "/sized.plasmite") != NULL && pool == NULL);
    plsm_error_free(error);
    CHECK_FAILS(plsm_pool_open(client, "none", &pool, &error), error, PLSM_ERR_NOT_FOUND, "");
    CHECK(error->path != NULL && strstr(error->path, "/none.plasmite") != NULL);
    CHECK(!error->has_seq && !error->has_offset);
    plsm_error_free(error);
    CHECK_FAILS(plsm_pool_create(client, "tiny", 10, &pool, &error), error, PLSM_ERR_USAGE, "smallest");
    plsm_error_free(error);
    const char *names[] = {"", ".", "..", "a\nb", "http://x/y", "\xff"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        CHECK_FAILS(plsm_pool_open(client, names[i], &pool, &error), error, PLSM_ERR_USAGE, "");
        plsm_error_free(error);
    }
    CHECK(plsm_pool_open(client, "none", &pool, NULL) == -1);
}

static void a_damaged_file_is_corrupt(plsm_client_t *client, const char *dir)
{
    char path[4096];
    plsm_pool_t *pool = NULL;
    plsm_error_t *error = NULL;
    snprintf(path, sizeof path, "%s/junk.plasmite", dir);
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    for (int i = 0; i < 10000; i++) fputc(i % 7, file);
    fclose(file);
    CHECK_FAILS(plsm_pool_open(client, "junk", &pool, &error), error, PLSM_ERR_CORRUPT, "");
    CHECK(error->path != NULL && pool == NULL);
    plsm_error_free(error);
    CHECK(remove(path) == 0);
}

static void open_or_create_does_either(plsm_client_t *client)
{
    plsm_pool_t *one = NULL, *two = NULL;
    plsm_buf_t message = {NULL, 0};
    CHECK(plsm_pool_open_or_create(client, "either", 65536, &one, NULL) == 0);
    append(one, "{\"a\":1}");
    CHECK(plsm_pool_open_or_create(client, "either", 1 << 20, &two, NULL) == 0);
    CHECK(plsm_pool_get_json(two, 1, &message, NULL) == 0);
    plsm_buf_free(&message);
    plsm_pool_free(one);
    plsm_pool_free(two);
}

static void a_deleted_pool_is_gone_for_its_handles(plsm_client_t *client)
{
    plsm_pool_t *pool = pool_of(client, "short", 0);
    plsm_buf_t message;
    plsm_error_t *error = NULL;
    CHECK(plsm_pool_delete(client, "short", &error) == 0);
    CHECK_FAILS(plsm_pool_append_json(pool, (const uint8_t *)"{}", 2, NULL, 0, 0, &message, &error), error,
                PLSM_ERR_NOT_FOUND, "deleted");
    CHECK(error->path != NULL);
    plsm_error_free(error);
    CHECK_FAILS(plsm_pool_delete(client, "short", &error), error, PLSM_ERR_NOT_FOUND, "");
    plsm_error_free(error);
    plsm_pool_free(pool);
}

static void info_and_list_are_json(const char *dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/listed", dir);
    plsm_client_t *client = client_of(path);
    plsm_buf_t json = {NULL, 0};
    CHECK(plsm_pool_list_json(client, &json, NULL) == 0 && json.len == 2 && memcmp(json.data, "[]", 2) == 0);
    plsm_buf_free(&json);
    plsm_pool_t *pool = pool_of(client, "a", 0);
    append(pool, "{}");
    CHECK(plsm_pool_info_json(pool, &json, NULL) == 0);
    CHECK(begins_with(&json, "{\"name\":\"a\",\"path\":\""));
    char *copy = (char *)calloc(json.len + 1, 1);
    memcpy(copy, json.data, json.len);
    CHECK(strstr(copy, "\"size_bytes\":1048576") != NULL && strstr(copy, "\"newest_seq\":1,") != NULL);
    free(copy);
    plsm_buf_free(&json);
    CHECK(plsm_pool_list_json(client, &json, NULL) == 0);
    CHECK(begins_with(&json, "[{\"name\":\"a\",") && ends_in(&json, "}]"));
    plsm_buf_free(&json);
    plsm_pool_free(pool);
    plsm_client_free(client);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    plsm_client_t *client = client_of(argv[1]);
    plsm_error_t *error = NULL;
    a_pool_has_the_size_asked_for(client, argv[1]);
    errors_name_the_path(client);
    a_damaged_file_is_corrupt(client, argv[1]);
    open_or_create_does_either(client);
    a_deleted_pool_is_gone_for_its_handles(client);
    info_and_list_are_json(argv[1]);
    plsm_client_free(client);
    CHECK_FAILS(plsm_client_new("", &client, &error), error, PLSM_ERR_USAGE, "pool_dir is empty");
    plsm_error_free(error);
    CHECK(plsm_client_new(NULL, &client, &error) == 0);
    plsm_client_free(client);
    return 0;
}
