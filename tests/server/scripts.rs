//! The scripts that shops run today. Keys: available, reserved, reservation. Arguments: units, and for a reservation its
//! text and how many seconds it lives.

/// Holds the units, without a look at the id or at how it ended.
pub const LUA_RESERVE: &str = "
local quantity = tonumber(ARGV[1])
local available = tonumber(redis.call('GET', KEYS[1]) or 0)
if available >= quantity then
  redis.call('DECRBY', KEYS[1], quantity)
  redis.call('INCRBY', KEYS[2], quantity)
  redis.call('SETEX', KEYS[3], ARGV[3], ARGV[2])
  return 1
end
return 0";

/// Sells them, without a look at whether they are held.
pub const LUA_COMMIT: &str = "redis.call('DECRBY', KEYS[2], ARGV[1]) redis.call('DEL', KEYS[3])";

/// Gives them back.
pub const LUA_ROLLBACK: &str = "redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('DECRBY', KEYS[2], ARGV[1]) redis.call('DEL', KEYS[3])";
