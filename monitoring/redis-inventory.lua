#!lua flags=no-writes,allow-stale
-- Exports numbers through prometheus-redis-exporter (--script), which does not read what modules report. Each becomes
-- redis_script_values{key="inv_..."}. The flags let the script run while writes are paused, and on a replica without its master.
local MOST_PRODUCTS = 20

local exported = {}

local function export(name, value)
  exported[#exported + 1] = name
  -- The exporter expects texts. A number of units has up to 16 digits, of which tostring would keep 14.
  exported[#exported + 1] = string.format('%.0f', value)
end

-- The reply, or an empty one if the command is refused: a user of the ACL that was made for an earlier version may see no products.
local function ask(...)
  local reply = redis.pcall(...)
  return reply.err and {} or reply
end

-- A map is a list of names and values in RESP2.
local function fields_of(list)
  local fields = {}
  for i = 1, #list, 2 do
    fields[list[i]] = list[i + 1]
  end
  return fields
end

-- INFO inv; texts such as the version are skipped.
for name, value in string.gmatch(redis.call('INFO', 'inv'), '(inv_[%w_]+):(%-?%d+)\r') do
  export(name, value)
end

-- Products that are low: those of the newest alerts, and those at the start of a walk over the stock. A stock of up to 1,000
-- counters is examined as a whole. Of a larger one, the products without a new alert are not found: a scrape must stay cheap.
local examined, products = {}, 0

local function export_if_low(stock)
  local name = stock.product_id
  if stock.error or examined[name] or products >= MOST_PRODUCTS then
    return
  end
  examined[name] = true
  if stock.reservable <= math.max(stock.threshold, 0) then
    products = products + 1
    export('inv_product_reservable:' .. name, stock.reservable)
    export('inv_product_reserved:' .. name, stock.reserved)
    export('inv_product_threshold:' .. name, stock.threshold)
  end
end

for _, alert in ipairs(ask('INV.ALERTS', 'COUNT', '50')) do
  local name = fields_of(alert).product_id
  if not examined[name] and products < MOST_PRODUCTS then
    for _, stock in ipairs(ask('INV.STOCK', name)) do
      export_if_low(fields_of(stock))
    end
    examined[name] = true
  end
end
if products < MOST_PRODUCTS then
  for _, stock in ipairs(ask('INV.STOCKSCAN', '0', 'LOW')[2] or {}) do
    export_if_low(fields_of(stock))
  end
end

-- The change feed in the plain key style, and how far its consumer groups are behind. The server does not always know the lag.
local length = redis.pcall('XLEN', 'inventory:feed')
if type(length) == 'number' then
  export('inv_feed_length', length)
end
for _, list in ipairs(ask('XINFO', 'GROUPS', 'inventory:feed')) do
  local group = fields_of(list)
  -- The exporter's labels must be UTF-8; the name of a group can be anything.
  if not string.find(group.name, '[^\32-\126]') then
    export('inv_feed_pending:' .. group.name, group.pending)
    if group.lag then
      export('inv_feed_lag:' .. group.name, group.lag)
    end
  end
end
return exported
