//! The Lua scripts to compare with, beside the usual ones in `tests/lua/`.
//!
//! The benchmark program draws a new random number for each `__rand_int__`, so a command can name only one key of a reservation:
//! the scripts derive the key of its outcome.

/// Reserves several products as shops do: all or nothing.
pub const RESERVE_LINES: &str = "
local quantity = tonumber(ARGV[1])
for i = 2, #KEYS, 2 do
  if tonumber(redis.call('GET', KEYS[i]) or 0) < quantity then return 0 end
end
for i = 2, #KEYS, 2 do
  redis.call('DECRBY', KEYS[i], quantity)
  redis.call('INCRBY', KEYS[i + 1], quantity)
end
redis.call('SETEX', KEYS[1], ARGV[3], ARGV[2])
return 1";

/// A script with the same features as INV.RESERVE: an id can be used once, the record says what it holds, and a sorted set says
/// when it expires.
pub const RESERVE_AS_MUCH: &str = "
local quantity = tonumber(ARGV[1])
local record = redis.call('GET', KEYS[1])
if record then
  local held = cjson.decode(record)
  if held.items[1].product_id ~= ARGV[2] or held.items[1].quantity ~= quantity then
    return redis.error_reply('MISMATCH')
  end
  return record
end
local id = string.sub(KEYS[1], 13)
if redis.call('EXISTS', 'outcome:' .. id) == 1 then return redis.error_reply('ENDED') end
local available = tonumber(redis.call('GET', KEYS[3]) or 0)
if available < quantity then return redis.error_reply('INSUFFICIENT') end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = now + ARGV[3] * 1000
record = cjson.encode({reservation_id = id, created_at = now, expires_at = deadline,
  items = {{product_id = ARGV[2], quantity = quantity}}})
redis.call('DECRBY', KEYS[3], quantity)
redis.call('INCRBY', KEYS[4], quantity)
redis.call('SET', KEYS[1], record, 'PXAT', string.format('%.0f', deadline))
redis.call('ZADD', KEYS[2], deadline, id)
return record";

/// A commit that can be repeated: it writes an outcome, which answers the second call.
/// KEYS: reserved, reservation. ARGV: units.
pub const COMMIT_THAT_REMEMBERS: &str = "
local outcome_key = 'outcome:' .. string.sub(KEYS[2], 13)
if redis.call('EXISTS', KEYS[2]) == 0 then
  local outcome = redis.call('GET', outcome_key)
  if not outcome then return redis.error_reply('NOTFOUND') end
  if string.sub(outcome, 1, 9) ~= 'COMMITTED' then return redis.error_reply('ENDED') end
  return 'OK'
end
local record = redis.call('GET', KEYS[2])
redis.call('DECRBY', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
redis.call('SET', outcome_key, 'COMMITTED ' .. record, 'EX', 3600)
return 'OK'";

/// A rollback that can be repeated.
/// KEYS: reserved, reservation, available. ARGV: units.
pub const ROLLBACK_THAT_REMEMBERS: &str = "
local outcome_key = 'outcome:' .. string.sub(KEYS[2], 13)
if redis.call('EXISTS', KEYS[2]) == 0 then
  local outcome = redis.call('GET', outcome_key)
  if not outcome then return redis.error_reply('NOTFOUND') end
  if string.sub(outcome, 1, 8) ~= 'RELEASED' then return redis.error_reply('ENDED') end
  return 'OK'
end
local record = redis.call('GET', KEYS[2])
redis.call('INCRBY', KEYS[3], ARGV[1])
redis.call('DECRBY', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
redis.call('SET', outcome_key, 'RELEASED ' .. record, 'EX', 3600)
return 'OK'";
