/* What the C tests share: a check that tells where it failed, and a pool in the directory given as argument. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plasmite.h"

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);    \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

/* The call gave this kind of error, and its text holds `text`. */
#define CHECK_FAILS(call, error, wanted, text)                                 \
    do {                                                                       \
        CHECK((call) == -1);                                                   \
        CHECK((error) != NULL && (error)->kind == (wanted));                   \
        if (strstr((error)->message, (text)) == NULL) {                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, (error)->message); \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

static plsm_client_t *client_of(const char *dir)
{
    plsm_client_t *client = NULL;
    plsm_error_t *error = NULL;
    CHECK(plsm_client_new(dir, &client, &error) == 0 && client != NULL && error == NULL);
    return client;
}

static plsm_pool_t *pool_of(plsm_client_t *client, const char *name, uint64_t size)
{
    plsm_pool_t *pool = NULL;
    plsm_error_t *error = NULL;
    int code = plsm_pool_create(client, name, size, &pool, &error);
    if (error != NULL) fprintf(stderr, "%s\n", error->message);
    CHECK(code == 0 && pool != NULL && error == NULL);
    return pool;
}

/* Appends without tags. */
static void append(plsm_pool_t *pool, const char *json)
{
    plsm_buf_t message = {NULL, 0};
    CHECK(plsm_pool_append_json(pool, (const uint8_t *)json, strlen(json), NULL, 0, 0, &message, NULL) == 0);
    plsm_buf_free(&message);
}

/* True when the buffer ends in this text. */
static int ends_in(const plsm_buf_t *buf, const char *text)
{
    size_t len = strlen(text);
    CHECK(buf->data[buf->len] == 0);
    return buf->len >= len && memcmp(buf->data + buf->len - len, text, len) == 0;
}

/* True when the buffer begins with this text. */
static int begins_with(const plsm_buf_t *buf, const char *text)
{
    size_t len = strlen(text);
    return buf->len >= len && memcmp(buf->data, text, len) == 0;
}

#endif
