#!lua flags=no-writes,allow-stale
-- Exports the numbers of INFO inv through prometheus-redis-exporter (--script), which does not read the sections of modules itself.
-- Each becomes redis_script_values{key="inv_..."}; texts such as the version are skipped. The flags let the script run while writes
-- are paused, and on a replica without its master.
local numbers = {}
for name, value in string.gmatch(redis.call('INFO', 'inv'), '(inv_[%w_]+):(%-?%d+)\r') do
  numbers[#numbers + 1] = name
  numbers[#numbers + 1] = value
end

-- The change feed of database 0, and how many of its entries `inv mirror` has not read: those after its consumer group. In a cluster,
-- and without the right to see them, they are left out.
local function field(list, wanted)
  for place = 1, #list, 2 do
    if list[place] == wanted then return list[place + 1] end
  end
end
local function export(name, value)
  if type(value) == 'number' then
    numbers[#numbers + 1] = name
    numbers[#numbers + 1] = string.format('%d', value)
  end
end
local groups = redis.pcall('XINFO', 'GROUPS', 'inventory:feed')
if not groups.err then
  export('inv_feed_length', redis.pcall('XLEN', 'inventory:feed'))
  for _, group in ipairs(groups) do
    if field(group, 'name') == 'inv-mirror' then export('inv_mirror_lag', field(group, 'lag')) end
  end
end
return numbers
