/*
 * Appends the JSON objects among its arguments to a pool, then prints the pool's messages as they come, one a line.
 *
 *     cc follow.c $(pkg-config --cflags --libs plasmite) -o follow
 *     ./follow ./pools docs '{"text":"hi"}' '{"text":"again"}'
 *
 * A pool that is not there is created. Ctrl-C ends it.
 */
#include <stdio.h>
#include <string.h>

#include "plasmite.h"

static int append(plsm_pool_t *pool, const char *json, plsm_error_t **error)
{
    const char *tags[] = {"example"};
    plsm_buf_t message = {NULL, 0};
    int code = plsm_pool_append_json(pool, (const uint8_t *)json, strlen(json), tags, 1, PLSM_DURABILITY_FAST,
                                     &message, error);
    plsm_buf_free(&message);
    return code;
}

/* Prints whatever is there at once, then waits for more. Ends with an error, or when its output has been closed. */
static int follow(plsm_pool_t *pool, plsm_error_t **error)
{
    plsm_stream_options_t from_the_oldest;
    plsm_stream_t *stream = NULL;
    plsm_buf_t lines = {NULL, 0};
    int code;

    memset(&from_the_oldest, 0, sizeof from_the_oldest);
    from_the_oldest.struct_size = sizeof from_the_oldest;
    if (plsm_stream_open_ex(pool, &from_the_oldest, &stream, error) != 0) return -1;
    while ((code = plsm_stream_read(stream, 0, 1 << 20, UINT64_MAX, &lines, error)) == PLSM_STREAM_MESSAGE) {
        int written = fwrite(lines.data, 1, lines.len, stdout) == lines.len && fflush(stdout) == 0;
        plsm_buf_free(&lines);
        if (!written) break;
    }
    plsm_stream_free(stream);
    return code < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
    plsm_client_t *client = NULL;
    plsm_pool_t *pool = NULL;
    plsm_error_t *error = NULL;
    int code, i;

    if (argc < 3) {
        fprintf(stderr, "usage: %s DIRECTORY POOL [JSON]...\n", argv[0]);
        return PLSM_ERR_USAGE;
    }
    code = plsm_client_new(argv[1], &client, &error);
    if (code == 0) code = plsm_pool_open_or_create(client, argv[2], 0, &pool, &error);
    for (i = 3; code == 0 && i < argc; i++) code = append(pool, argv[i], &error);
    if (code == 0) code = follow(pool, &error);

    if (error != NULL) {
        fprintf(stderr, "%s: %s: %s\n", argv[0], error->path != NULL ? error->path : argv[2], error->message);
        code = error->kind;
    }
    plsm_error_free(error);
    plsm_pool_free(pool);
    plsm_client_free(client);
    return code;
}
