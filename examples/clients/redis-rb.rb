# A shop's checkout with redis-rb.
#
#     gem install redis
#     ruby examples/clients/redis-rb.rb 127.0.0.1:6379 3
#
# The last argument is the protocol, RESP 2 or 3. The scenes at the end use products of their own, whose names no other run has.
# An unexpected answer ends the program with an error. See docs/clients.md.

require "redis"
require "socket"

# Seconds before a call is abandoned. Short, so that the program ends soon; a shop uses 1.
TIMEOUT = 0.25

# The pauses before a call is sent again, in seconds.
PAUSES = [0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.5, 0.5].freeze

# --- The part to copy ---

class Shop
  attr_reader :redis

  # One connection, for one thread at a time: use a pool (the gem connection_pool) if there are several. redis-rb repeats what was
  # not answered, which is safe for commands with an id or ONCE, and for those that read. Send others through a connection with
  # `reconnect_attempts: 0`.
  def initialize(host, port, protocol)
    @redis = Redis.new(host:, port:, protocol:, timeout: TIMEOUT, reconnect_attempts: PAUSES)
  end

  # Sends a command, and repeats it while the answer is TRYAGAIN. A refusal is a Redis::CommandError.
  def ask(*words)
    pauses = PAUSES.dup
    begin
      @redis.call(*words)
    rescue Redis::CommandError => refusal
      raise if code(refusal) != "TRYAGAIN" || pauses.empty?

      sleep(pauses.shift)
      retry
    end
  end

  # The first word of a refusal, to branch on.
  def code(refusal) = refusal.message.split(" ", 2).first

  # A map is a Hash in RESP3, and an Array of names and values in RESP2.
  def as_map(reply) = reply.is_a?(Array) ? Hash[*reply] : reply

  # Holds all lines, or none, for this time.
  def reserve(order, lines, hold_ms)
    held = as_map(ask("INV.RESERVE", order, "PX", hold_ms, "ITEMS", *lines.to_a.flatten))
    held.merge("items" => held["items"].map { |line| as_map(line) })
  end

  # Sells a reservation: the customer has paid.
  def commit(order) = ask("INV.COMMIT", order)

  # Sells a reservation after its deadline, if the units are still free.
  def commit_late(order) = ask("INV.COMMIT", order, "LATE")

  # Sells many reservations in one call, and returns why others could not be sold. An element of the answer that is an error is
  # an object of RedisClient::CommandError, and is not raised.
  def commit_all(orders)
    answers = ask("INV.MCOMMIT", *orders)
    refused = orders.zip(answers).select { |_, answer| answer.is_a?(RedisClient::CommandError) }
    refused.to_h { |order, refusal| [order, code(refusal)] }
  end

  # A reservation or its outcome; nil if it is unknown.
  def find(order) = as_map(ask("INV.GET", order))

  # Adds a delivery, and returns the units that are then available. A sum has no id: without ONCE, each retry would add it again.
  def restock(product, units, delivery) = ask("INV.ADJUST", product, units, "ONCE", delivery)

  # The stock of a product.
  def stock_of(product) = as_map(ask("INV.STOCK", product).first)
end

# --- The scenes ---

def tell(host, port, protocol)
  shop = Shop.new(host, port, protocol)
  run = (Time.now.to_f * 1000).to_i
  shoe, lace = "SHOE-#{run}", "LACE-#{run}"
  # Many commands in one round trip.
  filled = shop.redis.pipelined do |shelves|
    shelves.call("INV.SET", shoe, "AVAILABLE", 10)
    shelves.call("INV.SET", lace, "AVAILABLE", 50)
  end
  check("the shelves", filled, [10, 50])
  check("the protocol", shop.ask("CLIENT", "INFO")[/ resp=(\d)/, 1], protocol.to_s)

  puts "\nreserve, pay, commit"
  order = "ORDER-#{run}-1"
  held = shop.reserve(order, { shoe => 2, lace => 4 }, 900_000)
  check("its id", held["reservation_id"], order)
  check("its first line", held["items"].first, { "product_id" => shoe, "quantity" => 2 })
  check("a deadline in Unix ms", held["expires_at"] > run, true)
  show(shop, shoe, 8, 2)
  puts "  ... the customer pays"
  shop.commit(order)
  show(shop, shoe, 8, 0)
  check("its state", shop.find(order)["state"], "committed")
  check("an order that never was", shop.find("#{order}-not"), nil)

  puts "\na retry after a timeout"
  order = "ORDER-#{run}-2"
  answer_lost(shop, host, port, "INV.RESERVE") { shop.reserve(order, { shoe => 2 }, 900_000) }
  show(shop, shoe, 6, 2)
  answer_lost(shop, host, port, "INV.COMMIT") { shop.commit(order) }
  show(shop, shoe, 6, 0)
  answer_lost(shop, host, port, "INV.ADJUST") { shop.restock(shoe, 40, "delivery-#{run}") }
  show(shop, shoe, 46, 0)

  puts "\nnot enough"
  refused(shop, "INSUFFICIENT") { shop.reserve("ORDER-#{run}-3", { lace => 1, shoe => 47 }, 900_000) }
  # All or nothing: no lace is held either.
  show(shop, lace, 46, 0)

  puts "\nthe deadline"
  order = "ORDER-#{run}-4"
  shop.reserve(order, { shoe => 6 }, 1_000)
  show(shop, shoe, 40, 6)
  puts "  ... the customer is away"
  wait_until_free(shop, shoe)
  show(shop, shoe, 46, 0)
  refused(shop, "EXPIRED") { shop.commit(order) }
  puts "  ... he has paid all the same, and nobody else has taken them"
  shop.commit_late(order)
  show(shop, shoe, 40, 0)

  puts "\nmany at once"
  orders = ["ORDER-#{run}-5", "ORDER-#{run}-6", "ORDER-#{run}-3"]
  orders.first(2).each { |one| shop.reserve(one, { shoe => 1 }, 900_000) }
  # The third order was refused, so nothing is known of it.
  refused = shop.commit_all(orders)
  check("what could not be sold", refused, { orders.last => "NOTFOUND" })
  puts "  #{refused}"
  show(shop, shoe, 38, 0)
end

# Prints the stock of a product, and checks it.
def show(shop, product, available, reserved)
  stock = shop.stock_of(product)
  check("the stock of #{product}", stock.values_at("available", "reserved"), [available, reserved])
  puts "  #{product}: #{available} available, #{reserved} reserved"
end

# Checks that a call is refused with this code.
def refused(shop, word)
  yield
  abort "it was not refused with #{word}"
rescue Redis::CommandError => refusal
  check("the code", shop.code(refusal), word)
  puts "  #{refusal.message}"
end

# Waits until no units of a product are held.
def wait_until_free(shop, product)
  500.times do
    return if shop.stock_of(product)["reserved"].zero?

    sleep 0.01
  end
  abort "#{product} is still held"
end

# Keeps the server busy for this many seconds.
BUSY = "local start = os.clock() repeat until os.clock() - start > tonumber(ARGV[1])".freeze

# A call in this block waits for a busy server longer than its client waits. The server carries it out nevertheless, so the second
# try is carried out too.
def answer_lost(shop, host, port, command)
  before = calls(shop, command)
  other = TCPSocket.new(host, port)
  words = ["EVAL", BUSY, "0", (1.5 * TIMEOUT).to_s]
  other.write("*4\r\n", *words.map { |word| "$#{word.bytesize}\r\n#{word}\r\n" })
  # The other connection's command has to arrive first.
  sleep 0.02
  yield
  other.close
  times = calls(shop, command) - before
  check("#{command} was carried out more than once", times > 1, true)
  puts "  #{command} was carried out #{times} times"
end

# The number of times that the server has carried out a command.
def calls(shop, command) = shop.ask("INFO", "commandstats")[/^cmdstat_#{command}:calls=(\d+)/, 1].to_i

def check(what, seen, expected)
  abort "#{what}: #{seen.inspect} is not #{expected.inspect}" unless seen == expected
end

address, protocol = ARGV
host, port = address.to_s.split(":")
abort "usage: redis-rb.rb host:port 2|3" unless port && %w[2 3].include?(protocol)
puts "redis-rb #{Redis::VERSION}, RESP#{protocol}"
tell(host, port.to_i, protocol.to_i)
