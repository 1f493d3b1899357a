/* A shop's checkout with hiredis.
 *
 *     cc -o checkout hiredis.c -lhiredis
 *     ./checkout 127.0.0.1:6379 3
 *
 * The last argument is the protocol, RESP 2 or 3. The scenes at the end use products of their own, whose names no
 * other run has. An unexpected answer ends the program with an error. See docs/clients.md.
 */

#define _POSIX_C_SOURCE 200809L

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include <hiredis/hiredis.h>

#if HIREDIS_MAJOR < 1
#error "hiredis 1.0 or newer is needed: older ones do not speak RESP3"
#endif

/* Milliseconds before a call is abandoned. Short, so that the program ends soon; a shop uses 1000. */
#define TIMEOUT 250

/* How often a call is sent in total. */
#define TRIES 9

/* --- The part to copy --- */

/* A connection, opened when it is needed. It is for one thread at a time: give each thread its own. */
struct shop {
    const char *host;
    int port;
    int protocol;
    redisContext *connection;
};

/* The units of a product that an order needs. */
struct line {
    const char *product;
    int units;
};

#define MAX_LINES 128

static void hang_up(struct shop *shop) {
    redisFree(shop->connection);
    shop->connection = NULL;
}

/* Opens the connection, and chooses the protocol with HELLO. */
static bool connected(struct shop *shop) {
    if (shop->connection) return true;
    struct timeval timeout = {.tv_sec = TIMEOUT / 1000, .tv_usec = TIMEOUT % 1000 * 1000};
    redisOptions options = {.connect_timeout = &timeout, .command_timeout = &timeout};
    REDIS_OPTIONS_SET_TCP(&options, shop->host, shop->port);
    shop->connection = redisConnectWithOptions(&options);
    if (!shop->connection || shop->connection->err) return false;
    redisReply *hello = redisCommand(shop->connection, "HELLO %d", shop->protocol);
    bool greeted = hello && hello->type != REDIS_REPLY_ERROR;
    if (hello && !greeted) printf("  HELLO: %s\n", hello->str);
    freeReplyObject(hello);
    return greeted;
}

/* Whether a reply is a refusal with this code, its first word. */
static bool is_refusal(const redisReply *reply, const char *code) {
    size_t length = strlen(code);
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, code, length) == 0 && reply->str[length] == ' ';
}

static void rest(long ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* Sends a command until it is answered; the caller frees the reply. A refusal is an answer too, except TRYAGAIN. NULL:
 * there was no answer. Only for commands that are safe to repeat: by their id, by ONCE, or because they read.
 *
 * A connection whose answer was late is closed: hiredis would take that answer for the answer to the next command.
 */
static redisReply *send_until_answered(struct shop *shop, const char *command, size_t length) {
    for (int tries = 1;; tries++) {
        redisReply *reply = NULL;
        if (connected(shop) && redisAppendFormattedCommand(shop->connection, command, length) == REDIS_OK &&
            redisGetReply(shop->connection, (void **)&reply) == REDIS_OK) {
            if (!is_refusal(reply, "TRYAGAIN") || tries == TRIES) return reply;
            freeReplyObject(reply);
        } else {
            printf("  try %d had no answer: %s\n", tries, shop->connection ? shop->connection->errstr : "out of memory");
            hang_up(shop);
            if (tries == TRIES) return NULL;
        }
        rest(tries < 5 ? 20L << tries : 500);
    }
}

/* The same with a format; each %s is one word, whatever it contains. */
static redisReply *ask(struct shop *shop, const char *format, ...) {
    char *command = NULL;
    va_list words;
    va_start(words, format);
    int length = redisvFormatCommand(&command, format, words);
    va_end(words);
    redisReply *reply = length < 0 ? NULL : send_until_answered(shop, command, (size_t)length);
    free(command);
    return reply;
}

/* Holds all lines, or none, for this time. */
static redisReply *reserve(struct shop *shop, const char *order, int hold_ms, const struct line *lines, int count) {
    const char *words[5 + 2 * MAX_LINES] = {"INV.RESERVE", order, "PX"};
    char numbers[1 + MAX_LINES][12], *command = NULL;
    int n = 3;
    if (count > MAX_LINES) return NULL;
    snprintf(numbers[0], sizeof numbers[0], "%d", hold_ms);
    words[n++] = numbers[0];
    words[n++] = "ITEMS";
    for (int i = 0; i < count; i++) {
        snprintf(numbers[1 + i], sizeof numbers[1 + i], "%d", lines[i].units);
        words[n++] = lines[i].product;
        words[n++] = numbers[1 + i];
    }
    long long length = redisFormatCommandArgv(&command, n, words, NULL);
    redisReply *reply = length < 0 ? NULL : send_until_answered(shop, command, (size_t)length);
    redisFreeCommand(command);
    return reply;
}

/* Sells a reservation: the customer has paid. */
static redisReply *commit(struct shop *shop, const char *order) {
    return ask(shop, "INV.COMMIT %s", order);
}

/* Sells a reservation after its deadline, if the units are still free. */
static redisReply *commit_late(struct shop *shop, const char *order) {
    return ask(shop, "INV.COMMIT %s LATE", order);
}

/* Sells several reservations in one call. The answer is an array with an element for each: a status or an error. */
static redisReply *commit_all(struct shop *shop, const char *const *orders, int count) {
    const char *words[1 + MAX_LINES] = {"INV.MCOMMIT"};
    char *command = NULL;
    if (count > MAX_LINES) return NULL;
    for (int i = 0; i < count; i++) words[1 + i] = orders[i];
    long long length = redisFormatCommandArgv(&command, 1 + count, words, NULL);
    redisReply *reply = length < 0 ? NULL : send_until_answered(shop, command, (size_t)length);
    redisFreeCommand(command);
    return reply;
}

/* Adds a delivery; the answer is the number of units that are then available. A sum has no id: without ONCE, each retry
 * would add it again. */
static redisReply *restock(struct shop *shop, const char *product, int units, const char *delivery) {
    return ask(shop, "INV.ADJUST %s %d ONCE %s", product, units, delivery);
}

/* The value of a field of a map, or NULL. It is a map in RESP3 and an array in RESP2; hiredis alternates names and values
 * in both. */
static const redisReply *field(const redisReply *map, const char *name) {
    for (size_t i = 0; i + 1 < map->elements; i += 2) {
        if (strcmp(map->element[i]->str, name) == 0) return map->element[i + 1];
    }
    return NULL;
}

/* --- The scenes --- */

static void check(bool holds, const char *what) {
    if (!holds) {
        fflush(stdout);
        fprintf(stderr, "not so: %s\n", what);
        exit(1);
    }
}

/* Returns the reply if there is one and it is not a refusal. */
static redisReply *answered(redisReply *reply) {
    check(reply, "there is an answer");
    check(reply->type != REDIS_REPLY_ERROR, reply->str);
    return reply;
}

/* Prints a refusal, which must have this code. */
static void refused(redisReply *reply, const char *code) {
    check(reply, "there is an answer");
    check(is_refusal(reply, code), code);
    printf("  %s\n", reply->str);
    freeReplyObject(reply);
}

static bool is_text(const redisReply *reply, const char *text) {
    return reply && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) && strcmp(reply->str, text) == 0;
}

static long long number(const redisReply *reply) {
    check(reply && reply->type == REDIS_REPLY_INTEGER, "there is a number");
    return reply->integer;
}

static void expect_ok(redisReply *reply) {
    check(is_text(answered(reply), "OK"), "the answer is OK");
    freeReplyObject(reply);
}

static void stock_of(struct shop *shop, const char *product, long long *available, long long *reserved) {
    redisReply *stock = answered(ask(shop, "INV.STOCK %s", product));
    *available = number(field(stock->element[0], "available"));
    *reserved = number(field(stock->element[0], "reserved"));
    freeReplyObject(stock);
}

/* Prints the stock of a product, and checks it. */
static void show(struct shop *shop, const char *product, long long available, long long reserved) {
    long long found_available, found_reserved;
    stock_of(shop, product, &found_available, &found_reserved);
    printf("  %s: %lld available, %lld reserved\n", product, found_available, found_reserved);
    check(found_available == available && found_reserved == reserved, "these are the numbers");
}

/* Waits until no units of a product are held. */
static void wait_until_free(struct shop *shop, const char *product) {
    long long available, reserved;
    for (int tries = 0;; tries++) {
        stock_of(shop, product, &available, &reserved);
        if (reserved == 0) return;
        check(tries < 500, "the units come back");
        rest(10);
    }
}

/* The number of times that the server has carried out a command. */
static long calls(struct shop *shop, const char *command) {
    char name[64];
    redisReply *info = answered(ask(shop, "INFO commandstats"));
    snprintf(name, sizeof name, "cmdstat_%s:calls=", command);
    const char *found = strstr(info->str, name);
    long times = found ? strtol(found + strlen(name), NULL, 10) : 0;
    freeReplyObject(info);
    return times;
}

/* Keeps the server busy longer than its clients wait. It carries out their commands nevertheless, so the second try is
 * carried out too. */
static void keep_busy(struct shop *other) {
    const char *busy = "local start = os.clock() repeat until os.clock() - start > tonumber(ARGV[1])";
    char seconds[16];
    int all_written = 0;
    snprintf(seconds, sizeof seconds, "%.3f", 1.5 * TIMEOUT / 1000);
    check(connected(other), "there is a second connection");
    check(redisAppendCommand(other->connection, "EVAL %s 0 %s", busy, seconds) == REDIS_OK, "there is memory");
    while (!all_written) check(redisBufferWrite(other->connection, &all_written) == REDIS_OK, "it can be written");
    hang_up(other);
}

static void sent_again(struct shop *shop, const char *command, long before) {
    long times = calls(shop, command) - before;
    printf("  %s was carried out %ld times\n", command, times);
    check(times > 1, "it was carried out more than once");
}

static void pays_in_time(struct shop *shop, const char *run, const char *shoe, const char *lace) {
    char order[64], unknown[64];
    printf("\nreserve, pay, commit\n");
    snprintf(order, sizeof order, "ORDER-%s-1", run);
    struct line lines[] = {{shoe, 2}, {lace, 4}};
    redisReply *held = answered(reserve(shop, order, 900000, lines, 2));
    check(held->type == (shop->protocol == 3 ? REDIS_REPLY_MAP : REDIS_REPLY_ARRAY), "it is of the protocol's type");
    check(is_text(field(held, "reservation_id"), order), "it is this order");
    check(number(field(held, "expires_at")) > atoll(run), "there is a deadline in Unix ms");
    const redisReply *items = field(held, "items");
    check(items && items->elements == 2, "there are two lines");
    check(is_text(field(items->element[0], "product_id"), shoe), "the first is of the shoe");
    check(number(field(items->element[0], "quantity")) == 2, "there are two of it");
    freeReplyObject(held);
    show(shop, shoe, 8, 2);
    printf("  ... the customer pays\n");
    expect_ok(commit(shop, order));
    show(shop, shoe, 8, 0);

    redisReply *found = answered(ask(shop, "INV.GET %s", order));
    check(is_text(field(found, "state"), "committed"), "it is committed");
    freeReplyObject(found);
    snprintf(unknown, sizeof unknown, "ORDER-%s-0", run);
    found = answered(ask(shop, "INV.GET %s", unknown));
    check(found->type == REDIS_REPLY_NIL, "there is no such order");
    freeReplyObject(found);
}

static void answers_are_lost(struct shop *shop, struct shop *other, const char *run, const char *shoe) {
    char order[64], delivery[64];
    printf("\na retry after a timeout\n");
    snprintf(order, sizeof order, "ORDER-%s-2", run);
    snprintf(delivery, sizeof delivery, "delivery-%s", run);

    long before = calls(shop, "INV.RESERVE");
    keep_busy(other);
    freeReplyObject(answered(reserve(shop, order, 900000, &(struct line){shoe, 2}, 1)));
    sent_again(shop, "INV.RESERVE", before);
    show(shop, shoe, 6, 2);

    before = calls(shop, "INV.COMMIT");
    keep_busy(other);
    expect_ok(commit(shop, order));
    sent_again(shop, "INV.COMMIT", before);
    show(shop, shoe, 6, 0);

    before = calls(shop, "INV.ADJUST");
    keep_busy(other);
    redisReply *available = answered(restock(shop, shoe, 40, delivery));
    check(number(available) == 46, "the delivery was added once");
    freeReplyObject(available);
    sent_again(shop, "INV.ADJUST", before);
    show(shop, shoe, 46, 0);
}

static void wants_too_many(struct shop *shop, const char *run, const char *shoe, const char *lace) {
    char order[64];
    printf("\nnot enough\n");
    snprintf(order, sizeof order, "ORDER-%s-3", run);
    struct line lines[] = {{lace, 1}, {shoe, 47}};
    refused(reserve(shop, order, 900000, lines, 2), "INSUFFICIENT");
    /* All or nothing: no lace is held either. */
    show(shop, lace, 46, 0);
}

static void pays_too_late(struct shop *shop, const char *run, const char *shoe) {
    char order[64];
    printf("\nthe deadline\n");
    snprintf(order, sizeof order, "ORDER-%s-4", run);
    freeReplyObject(answered(reserve(shop, order, 1000, &(struct line){shoe, 6}, 1)));
    show(shop, shoe, 40, 6);
    printf("  ... the customer is away\n");
    wait_until_free(shop, shoe);
    show(shop, shoe, 46, 0);
    refused(commit(shop, order), "EXPIRED");
    printf("  ... he has paid all the same, and nobody else has taken them\n");
    expect_ok(commit_late(shop, order));
    show(shop, shoe, 40, 0);
}

static void pay_together(struct shop *shop, const char *run, const char *shoe) {
    char names[3][64];
    const char *orders[3];
    printf("\nmany at once\n");
    for (int i = 0; i < 3; i++) {
        /* The third order was refused, so nothing is known of it. */
        snprintf(names[i], sizeof names[i], "ORDER-%s-%d", run, i < 2 ? 5 + i : 3);
        orders[i] = names[i];
        if (i < 2) freeReplyObject(answered(reserve(shop, orders[i], 900000, &(struct line){shoe, 1}, 1)));
    }
    redisReply *answers = answered(commit_all(shop, orders, 3));
    check(answers->type == REDIS_REPLY_ARRAY && answers->elements == 3, "there is an answer for each");
    check(is_text(answers->element[0], "OK") && is_text(answers->element[1], "OK"), "two are sold");
    check(is_refusal(answers->element[2], "NOTFOUND"), "the third is unknown");
    printf("  %s\n", answers->element[2]->str);
    freeReplyObject(answers);
    show(shop, shoe, 38, 0);
}

/* Many commands in one round trip: all are written first, then all answers are read. */
static void fill_the_shelves(struct shop *shop, const char *shoe, const char *lace) {
    redisReply *answer;
    check(connected(shop), "there is a connection");
    redisAppendCommand(shop->connection, "INV.SET %s AVAILABLE %d", shoe, 10);
    redisAppendCommand(shop->connection, "INV.SET %s AVAILABLE %d", lace, 50);
    for (int i = 0; i < 2; i++) {
        check(redisGetReply(shop->connection, (void **)&answer) == REDIS_OK, shop->connection->errstr);
        check(number(answered(answer)) == (i == 0 ? 10 : 50), "the shelf is filled");
        freeReplyObject(answer);
    }
}

int main(int argc, char **argv) {
    char *colon = argc == 3 ? strrchr(argv[1], ':') : NULL;
    int protocol = argc == 3 ? atoi(argv[2]) : 0;
    if (!colon || (protocol != 2 && protocol != 3)) {
        fprintf(stderr, "usage: hiredis host:port 2|3\n");
        return 2;
    }
    *colon = '\0';
    /* Otherwise, writing to a connection that the server has closed ends the program. */
    signal(SIGPIPE, SIG_IGN);
    printf("hiredis %d.%d.%d, RESP%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH, protocol);

    struct shop shop = {argv[1], atoi(colon + 1), protocol, NULL}, other = shop;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char run[24], shoe[40], lace[40];
    snprintf(run, sizeof run, "%lld", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    snprintf(shoe, sizeof shoe, "SHOE-%s", run);
    snprintf(lace, sizeof lace, "LACE-%s", run);

    fill_the_shelves(&shop, shoe, lace);
    pays_in_time(&shop, run, shoe, lace);
    answers_are_lost(&shop, &other, run, shoe);
    wants_too_many(&shop, run, shoe, lace);
    pays_too_late(&shop, run, shoe);
    pay_together(&shop, run, shoe);
    hang_up(&shop);
    hang_up(&other);
    return 0;
}
