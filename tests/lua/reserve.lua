-- Holds the units, without a look at the id or at how it ended.
-- KEYS: available, reserved, reservation. ARGV: units, the reservation's text, how many seconds it lives.
local quantity = tonumber(ARGV[1])
local available = tonumber(redis.call('GET', KEYS[1]) or 0)
if available >= quantity then
  redis.call('DECRBY', KEYS[1], quantity)
  redis.call('INCRBY', KEYS[2], quantity)
  redis.call('SETEX', KEYS[3], ARGV[3], ARGV[2])
  return 1
end
return 0
