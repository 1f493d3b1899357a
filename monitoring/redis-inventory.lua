#!lua flags=no-writes,allow-stale
-- Exports the numbers of INFO inv through prometheus-redis-exporter (--script), which does not read the sections of modules itself.
-- Each becomes redis_script_values{key="inv_..."}; texts such as the version are skipped. The flags let the script run while writes
-- are paused, and on a replica without its master.
local numbers = {}
for name, value in string.gmatch(redis.call('INFO', 'inv'), '(inv_[%w_]+):(%-?%d+)\r') do
  numbers[#numbers + 1] = name
  numbers[#numbers + 1] = value
end
return numbers
