/* Damaged files give an error and change nothing: ./damage SEED COUNT FILE...
 *
 * Each round changes, cuts, doubles or lengthens a file at random, more often in its header. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include HEADER

static uint64_t state;

static uint64_t draw(uint64_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

static size_t damage(char *bytes, size_t count, size_t room)
{
    static const char *words[] = {"\"", "{", "}", "[", "]", ",", ":", "\\", "\\u12", "18446744073709551616",
                                  "-1", "null", "F64", "BF16", "\"dlc\":\"", "00000000 {", "1e999"};
    size_t header = count < 2000 ? count : 2000;
    for (uint64_t changes = 1 + draw(4); changes--;) {
        size_t at = draw(3) ? draw(header) : draw(count);
        const char *word = words[draw(sizeof words / sizeof *words)];
        switch (draw(6)) {
        case 0:
            bytes[at] = (char)draw(256);
            break;
        case 1:
            bytes[at] ^= (char)(1u << draw(8));
            break;
        case 2:
            count = 1 + draw(count);
            header = count < header ? count : header;
            break;
        case 3:
            if (at + strlen(word) < count)
                memcpy(bytes + at, word, strlen(word));
            break;
        case 4:
            bytes[draw(count < 8 ? count : 8)] = (char)draw(256);
            break;
        default:
            for (uint64_t more = draw(64); more-- && count < room;)
                bytes[count++] = (char)draw(256);
        }
    }
    return count;
}

static char *read_file(const char *path, size_t *count)
{
    static char content[1 << 20];
    FILE *file = fopen(path, "rb");
    *count = file ? fread(content, 1, sizeof content, file) : 0;
    if (file)
        fclose(file);
    return content;
}

int main(int argc, char **argv)
{
    static char changed[(1 << 20) + 512];
    float before[5], after[5];
    long refused = 0, taken = 0;
    dense_net *net;
    if (argc < 4 || dense_create(&net, DENSE_ABI, 1, NULL) || dense_load(net, argv[3]))
        return 2;
    state = (uint64_t)atoll(argv[1]);
    dense_read(net, "dense1.bias", before, sizeof before);
    for (long k = 0; k < atol(argv[2]); k++) {
        size_t count;
        const char *content = read_file(argv[3 + k % (argc - 3)], &count);
        memcpy(changed, content, count);
        count = damage(changed, count, sizeof changed);
        FILE *file = fopen("damaged.safetensors", "wb");
        if (!file || fwrite(changed, 1, count, file) != count || fclose(file))
            return 2;
        int code = dense_load(net, "damaged.safetensors");
        dense_read(net, "dense1.bias", after, sizeof after);
        if (code != DENSE_OK && code != DENSE_BAD_FILE)
            return 3;
        if (code != DENSE_OK && memcmp(before, after, sizeof before) != 0)
            return 4;
        memcpy(before, after, sizeof before);
        refused += code != DENSE_OK;
        taken += code == DENSE_OK;
    }
    dense_destroy(net);
    printf("%ld refused, %ld taken\n", refused, taken);
    return 0;
}
