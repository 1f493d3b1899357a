-- Sells the units, without a look at whether they are held.
-- KEYS: available, reserved, reservation. ARGV: units.
redis.call('DECRBY', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[3])
