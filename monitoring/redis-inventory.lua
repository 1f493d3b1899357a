#!lua flags=no-writes,allow-stale
-- The numbers of INFO inv, for prometheus-redis-exporter (--script), which leaves out sections of modules otherwise. Each becomes
-- redis_script_values{key="inv_..."}; texts, as the version, are left out. With these flags it is also run while writes are paused, and on a replica without its master.
local numbers = {}
for name, value in string.gmatch(redis.call('INFO', 'inv'), '(inv_[%w_]+):(%-?%d+)\r') do
  numbers[#numbers + 1] = name
  numbers[#numbers + 1] = value
end
return numbers
