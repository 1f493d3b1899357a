<?php
// A shop's checkout with phpredis.
//
//     pecl install redis
//     php examples/clients/phpredis.php 127.0.0.1:6379 2
//
// The last argument is the protocol: phpredis speaks RESP2 only. The scenes at the end use products of their own, whose names
// no other run has. An unexpected answer ends the program with an error. See docs/clients.md.

declare(strict_types=1);

// Seconds before a call is abandoned. Short, so that the program ends soon; a shop uses 1.
const TIMEOUT = 0.25;

// How often a call is sent in total.
const TRIES = 9;

// --- The part to copy ---

/** An answer that says no. Its code is the first word of the text. */
final class Refusal extends RuntimeException
{
    public readonly string $word;

    public function __construct(string $text)
    {
        parent::__construct($text);
        $this->word = explode(' ', $text, 2)[0];
    }
}

/** A connection for one request of the web server, or for one worker. */
final class Shop
{
    private ?Redis $redis = null;

    public function __construct(private string $host, private int $port)
    {
    }

    /** Without OPT_PREFIX, and without a serializer: both concern the methods, and leave the module's commands alone. */
    public function connection(): Redis
    {
        if ($this->redis === null) {
            $redis = new Redis();
            $redis->connect($this->host, $this->port, TIMEOUT, null, 0, TIMEOUT);
            $this->redis = $redis;
        }
        return $this->redis;
    }

    /**
     * Sends a command until it is answered. Only for commands that are safe to repeat: by their id, by ONCE, or because they
     * read.
     *
     * Most refusals are thrown by phpredis as a RedisException. After ERR and WRONGTYPE it returns false, and getLastError() has
     * the text. Here both become a Refusal. A RedisException that is no refusal is a connection without an answer: it is closed,
     * because a late answer would be taken for the answer to the next command.
     */
    public function ask(string $name, string|int ...$words): mixed
    {
        for ($tries = 1; ; $tries++) {
            try {
                $redis = $this->connection();
                $redis->clearLastError();
                $answer = $redis->rawCommand($name, ...$words);
                $text = $answer === false ? $redis->getLastError() : null;
            } catch (RedisException $error) {
                $text = preg_match('/^[A-Z]{3,} /', $error->getMessage()) ? $error->getMessage() : null;
                if ($text === null) {
                    $this->redis = null;
                    if ($tries === TRIES) {
                        throw $error;
                    }
                    echo "  $name is sent again: {$error->getMessage()}\n";
                    usleep(min(10_000 << $tries, 500_000));
                    continue;
                }
            }
            if ($text === null) {
                return $answer;
            }
            $refusal = new Refusal($text);
            if ($refusal->word !== 'TRYAGAIN' || $tries === TRIES) {
                throw $refusal;
            }
            usleep(min(10_000 << $tries, 500_000));
        }
    }

    /**
     * Holds all lines, or none, for this time.
     *
     * @param array<string, int> $lines
     */
    public function reserve(string $order, array $lines, int $holdMs): array
    {
        $items = [];
        foreach ($lines as $product => $units) {
            // PHP makes an integer of a key that looks like one.
            array_push($items, (string) $product, $units);
        }
        $held = as_map($this->ask('INV.RESERVE', $order, 'PX', $holdMs, 'ITEMS', ...$items));
        $held['items'] = array_map(as_map(...), $held['items']);
        return $held;
    }

    /** Sells a reservation: the customer has paid. */
    public function commit(string $order): void
    {
        $this->ask('INV.COMMIT', $order);
    }

    /** Sells a reservation after its deadline, if the units are still free. */
    public function commitLate(string $order): void
    {
        $this->ask('INV.COMMIT', $order, 'LATE');
    }

    /**
     * Sells many reservations in one call, and returns why others could not be sold.
     *
     * If one of the answers is an error, phpredis throws it, and the other answers are lost. Each COMMIT is then sent alone, which
     * changes nothing: what was sold is OK again, and what was refused is refused again.
     *
     * @param list<string> $orders
     * @return array<string, string>
     */
    public function commitAll(array $orders): array
    {
        $refused = [];
        try {
            $answers = $this->ask('INV.MCOMMIT', ...$orders);
        } catch (Refusal) {
            $answers = array_fill(0, count($orders), false);
        }
        foreach ($answers as $place => $answer) {
            try {
                // ERR and WRONGTYPE are false here too.
                $answer !== false || $this->commit($orders[$place]);
            } catch (Refusal $refusal) {
                $refused[$orders[$place]] = $refusal->word;
            }
        }
        return $refused;
    }

    /** A reservation or its outcome; null if it is unknown. phpredis makes false of null as well. */
    public function find(string $order): ?array
    {
        $found = $this->ask('INV.GET', $order);
        return $found ? as_map($found) : null;
    }

    /** Adds a delivery, and returns the units that are then available. A sum has no id: without ONCE, each retry would add it again. */
    public function restock(string $product, int $units, string $delivery): int
    {
        return $this->ask('INV.ADJUST', $product, $units, 'ONCE', $delivery);
    }

    /** The stock of a product. */
    public function stockOf(string $product): array
    {
        return as_map($this->ask('INV.STOCK', $product)[0]);
    }
}

/** A map is an array of names and values. */
function as_map(array $reply): array
{
    $map = [];
    for ($i = 0; $i + 1 < count($reply); $i += 2) {
        $map[$reply[$i]] = $reply[$i + 1];
    }
    return $map;
}

// --- The scenes ---

function tell(string $host, int $port): void
{
    $shop = new Shop($host, $port);
    $run = (int) (microtime(true) * 1000);
    [$shoe, $lace] = ["SHOE-$run", "LACE-$run"];
    // Many commands in one round trip.
    $filled = $shop->connection()->pipeline()
        ->rawCommand('INV.SET', $shoe, 'AVAILABLE', 10)
        ->rawCommand('INV.SET', $lace, 'AVAILABLE', 50)
        ->exec();
    check('the shelves', $filled, [10, 50]);

    echo "\nreserve, pay, commit\n";
    $order = "ORDER-$run-1";
    $held = $shop->reserve($order, [$shoe => 2, $lace => 4], 900_000);
    check('its id', $held['reservation_id'], $order);
    check('its first line', $held['items'][0], ['product_id' => $shoe, 'quantity' => 2]);
    check('a deadline in Unix ms', $held['expires_at'] > $run, true);
    show($shop, $shoe, 8, 2);
    echo "  ... the customer pays\n";
    $shop->commit($order);
    show($shop, $shoe, 8, 0);
    check('its state', $shop->find($order)['state'], 'committed');
    check('an order that never was', $shop->find("$order-not"), null);

    echo "\na retry after a timeout\n";
    $order = "ORDER-$run-2";
    when_the_answer_is_lost($shop, $host, $port, 'INV.RESERVE', fn () => $shop->reserve($order, [$shoe => 2], 900_000));
    show($shop, $shoe, 6, 2);
    when_the_answer_is_lost($shop, $host, $port, 'INV.COMMIT', fn () => $shop->commit($order));
    show($shop, $shoe, 6, 0);
    when_the_answer_is_lost($shop, $host, $port, 'INV.ADJUST', fn () => $shop->restock($shoe, 40, "delivery-$run"));
    show($shop, $shoe, 46, 0);

    echo "\nnot enough\n";
    refused('INSUFFICIENT', fn () => $shop->reserve("ORDER-$run-3", [$lace => 1, $shoe => 47], 900_000));
    // All or nothing: no lace is held either.
    show($shop, $lace, 46, 0);
    // phpredis returns false for this one.
    refused('ERR', fn () => $shop->reserve("ORDER-$run-3", [$lace => 0], 900_000));

    echo "\nthe deadline\n";
    $order = "ORDER-$run-4";
    $shop->reserve($order, [$shoe => 6], 1_000);
    show($shop, $shoe, 40, 6);
    echo "  ... the customer is away\n";
    wait_until_free($shop, $shoe);
    show($shop, $shoe, 46, 0);
    refused('EXPIRED', fn () => $shop->commit($order));
    echo "  ... he has paid all the same, and nobody else has taken them\n";
    $shop->commitLate($order);
    show($shop, $shoe, 40, 0);

    echo "\nmany at once\n";
    $orders = ["ORDER-$run-5", "ORDER-$run-6", "ORDER-$run-3"];
    foreach (array_slice($orders, 0, 2) as $order) {
        $shop->reserve($order, [$shoe => 1], 900_000);
    }
    // The third order was refused, so nothing is known of it.
    $refused = $shop->commitAll($orders);
    check('what could not be sold', $refused, [$orders[2] => 'NOTFOUND']);
    echo '  ', json_encode($refused), "\n";
    show($shop, $shoe, 38, 0);

    echo "\na prefix and a serializer\n";
    prefix_and_serializer($shop, $host, $port, "MUG-$run");
}

/** OPT_PREFIX and OPT_SERIALIZER concern the methods, and not rawCommand: the module's commands and keys have neither. */
function prefix_and_serializer(Shop $shop, string $host, int $port, string $mug): void
{
    $redis = new Redis();
    $redis->connect($host, $port, TIMEOUT);
    $redis->setOption(Redis::OPT_PREFIX, 'shop1:');
    $redis->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_PHP);
    check('a command of the module', $redis->rawCommand('INV.SET', $mug, 'AVAILABLE', 10), 10);
    // This key is shop1:stock:available:..., which is no product's.
    $redis->set("stock:available:$mug", 99);
    show($shop, $mug, 10, 0);
    // Without the prefix, a serialized number (`i:99;`) is no number for the module.
    $redis->setOption(Redis::OPT_PREFIX, '');
    $redis->set("stock:available:$mug", 99);
    refused('WRONGTYPE', fn () => $shop->restock($mug, 1, "$mug-delivery"));
    $redis->rawCommand('SET', "stock:available:$mug", '10');
    show($shop, $mug, 10, 0);
}

/** Prints the stock of a product, and checks it. */
function show(Shop $shop, string $product, int $available, int $reserved): void
{
    $stock = $shop->stockOf($product);
    check("available of $product", $stock['available'], $available);
    check("reserved of $product", $stock['reserved'], $reserved);
    echo "  $product: $available available, $reserved reserved\n";
}

/** Checks that a call is refused with this code. */
function refused(string $word, callable $call): void
{
    try {
        $call();
    } catch (Refusal $refusal) {
        check('the code', $refusal->word, $word);
        echo "  {$refusal->getMessage()}\n";
        return;
    }
    stop("it was not refused with $word");
}

/** Waits until no units of a product are held. */
function wait_until_free(Shop $shop, string $product): void
{
    for ($tries = 0; $shop->stockOf($product)['reserved'] !== 0; $tries++) {
        $tries < 500 || stop("$product is still held");
        usleep(10_000);
    }
}

// Keeps the server busy for this many seconds.
const BUSY = 'local start = os.clock() repeat until os.clock() - start > tonumber(ARGV[1])';

/**
 * A call that waits for a busy server longer than its client waits. The server carries it out nevertheless, so the second try is
 * carried out too.
 */
function when_the_answer_is_lost(Shop $shop, string $host, int $port, string $command, callable $call): void
{
    $before = calls($shop, $command);
    $shop->connection();
    $other = stream_socket_client("tcp://$host:$port");
    $words = ['EVAL', BUSY, '0', (string) (1.5 * TIMEOUT)];
    fwrite($other, '*4' . "\r\n" . implode('', array_map(fn ($word) => '$' . strlen($word) . "\r\n$word\r\n", $words)));
    // The other connection's command has to arrive first.
    usleep(20_000);
    $call();
    fclose($other);
    $times = calls($shop, $command) - $before;
    check("$command was carried out more than once", $times > 1, true);
    echo "  $command was carried out $times times\n";
}

/** The number of times that the server has carried out a command. */
function calls(Shop $shop, string $command): int
{
    return preg_match("/^cmdstat_$command:calls=(\d+)/m", $shop->ask('INFO', 'commandstats'), $found) ? (int) $found[1] : 0;
}

function check(string $what, mixed $seen, mixed $expected): void
{
    $seen === $expected || stop("$what: " . var_export($seen, true) . ' is not ' . var_export($expected, true));
}

function stop(string $text): never
{
    fwrite(STDERR, "$text\n");
    exit(1);
}

[, $address, $protocol] = $argv + [1 => '', 2 => ''];
if (!preg_match('/^(.+):(\d+)$/', $address, $found) || $protocol !== '2') {
    stop('usage: phpredis.php host:port 2');
}
echo 'phpredis ', phpversion('redis'), ", RESP2\n";
tell($found[1], (int) $found[2]);
