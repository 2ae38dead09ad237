-- The tables of all replicas, in Redis: what tables.py does, line for line, in one step.
--
-- KEYS: the epoch, then one key for each line. ARGV: operation, epoch, lease in ticks, then what the
-- operation needs. Whole numbers only, all below 2^53. A tick is a millisecond of this server's clock. A reply
-- is a list of numbers that begins with 1 (done), 0 (refused), -1 (sums are missing) or -2 (the epoch
-- is another one: counts were lost). Commands are those of Redis 6.2.

local operation, lease = ARGV[1], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local MINUTE, PLACE_WAIT, BUDGET_WAIT = 60000, 5000, 1099511627776
local DAYS = 172800000 -- ticks after which an unused budget is dropped; the ledger knows it

local function text(number)
  return string.format('%.0f', number)
end

local until_text = text(now + lease)

local function add(key, field, number)
  if number ~= 0 then redis.call('HINCRBY', key, field, text(number)) end
end

-- ------------------------------------------------------------ calls and tokens a minute

local function level_at(key, limit)
  local state = redis.call('HMGET', key, 'at', 'level')
  if not state[1] then return 0 end
  local at, level = tonumber(state[1]), tonumber(state[2])
  if now < at then redis.call('HSET', key, 'at', text(now)) end
  if now <= at then return level end
  return math.max(0, level - (now - at) * limit)
end

local function put(key, limit, level)
  redis.call('HSET', key, 'at', text(now), 'level', text(level))
  redis.call('PEXPIRE', key, text(math.ceil(level / math.max(1, limit)) + MINUTE))
  return level
end

local function wait_for(level, cost, limit)
  if limit <= 0 then return MINUTE end
  local excess = level + (math.min(cost, limit) - limit) * MINUTE
  if excess <= 0 then return 0 end
  return math.ceil(excess / limit)
end

-- ------------------------------------------------------------ budgets: a hash, and who holds until when

local function holds(key, call)
  return tonumber(redis.call('HGET', key, 'h:' .. call) or '0')
end

local function release(key, call)
  add(key, 'held', -holds(key, call))
  redis.call('HDEL', key, 'h:' .. call)
  redis.call('ZREM', key .. ':until', call)
end

local function expire(key)
  for _, call in ipairs(redis.call('ZRANGEBYSCORE', key .. ':until', '-inf', text(now))) do
    release(key, call)
  end
end

-- `others` is what all other calls hold.
local function hold(key, call, others, amount)
  redis.call('HSET', key, 'held', text(others + amount), 'h:' .. call, text(amount))
  redis.call('ZADD', key .. ':until', until_text, call)
end

-- What is spent (nil: not known), what all other calls hold, once lapsed holds are gone.
local function standing(key, call)
  expire(key)
  local found = redis.call('HMGET', key, 'spent', 'held', 'h:' .. call)
  return tonumber(found[1] or ''), tonumber(found[2] or '0') - tonumber(found[3] or '0')
end

-- ------------------------------------------------------------ places

local function taken(key)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now))
  return redis.call('ZCARD', key)
end

local function take_place(key, call)
  redis.call('ZADD', key, until_text, call)
  redis.call('PEXPIRE', key, text(lease + MINUTE))
end

-- ------------------------------------------------------------ operations

-- ARGV 4: the call, then kind, limit and amount of each line.
local function admit()
  local call, lines, missing = ARGV[4], {}, {-1}
  for number = 1, #KEYS - 1 do
    local base = 2 + 3 * number
    local line = {kind = ARGV[base], key = KEYS[number + 1]}
    line.limit, line.amount = tonumber(ARGV[base + 1]), tonumber(ARGV[base + 2])
    lines[number] = line
    if line.kind == 'budget' then
      line.spent, line.others = standing(line.key, call)
      if not line.spent then missing[#missing + 1] = number - 1 end
    end
  end
  if #missing > 1 then return missing end

  local refused, worst, spent, held, levels = -1, 0, 0, 0, {}
  for number, line in ipairs(lines) do
    if line.kind == 'rate' then
      line.level = level_at(line.key, line.limit)
      levels[#levels + 1] = line.level
      local wait = wait_for(line.level, line.amount, line.limit)
      if wait > worst then refused, worst, spent, held = number - 1, wait, 0, 0 end
    elseif line.kind == 'place' then
      local count = taken(line.key)
      local full = count >= line.limit and not redis.call('ZSCORE', line.key, call)
      if full and worst < PLACE_WAIT then refused, worst, spent, held = number - 1, PLACE_WAIT, 0, count end
    elseif worst < BUDGET_WAIT and line.spent + line.others + line.amount > line.limit then
      refused, worst, spent, held = number - 1, BUDGET_WAIT, line.spent, line.others
    end
  end

  if refused < 0 then
    levels = {}
    for _, line in ipairs(lines) do
      if line.kind == 'rate' then
        levels[#levels + 1] = put(line.key, line.limit, math.max(0, line.level + line.amount * MINUTE))
      elseif line.kind == 'place' then
        take_place(line.key, call)
      else
        hold(line.key, call, line.others, line.amount)
      end
    end
  end
  local reply = {refused < 0 and 1 or 0, refused, worst, spent, held}
  for _, level in ipairs(levels) do reply[#reply + 1] = level end
  return reply
end

-- ARGV 4: the call, then kind, limit and charge of each line.
local function settle()
  local call = ARGV[4]
  for number = 1, #KEYS - 1 do
    local key, base = KEYS[number + 1], 2 + 3 * number
    local kind, limit, amount = ARGV[base], tonumber(ARGV[base + 1]), tonumber(ARGV[base + 2])
    if kind == 'place' then
      redis.call('ZREM', key, call)
    elseif kind == 'rate' then
      if redis.call('EXISTS', key) == 1 then
        put(key, limit, math.max(0, level_at(key, limit) + amount * MINUTE))
      end
    elseif redis.call('HEXISTS', key, 'spent') == 1 then
      release(key, call)
      add(key, 'spent', amount)
      add(key, 'charged', amount)
    end
  end
  return {1}
end

-- ARGV from 4: call, kind and amount of each line.
local function renew()
  for number = 1, #KEYS - 1 do
    local key, base = KEYS[number + 1], 1 + 3 * number
    if ARGV[base + 1] == 'place' then
      take_place(key, ARGV[base])
    else
      local _, others = standing(key, ARGV[base])
      hold(key, ARGV[base], others, tonumber(ARGV[base + 2]))
    end
  end
  return {1}
end

-- What was ever charged to each budget: it only grows, so that a look at the ledger knows what came since.
local function marks()
  local reply = {1}
  for number = 2, #KEYS do
    reply[number] = tonumber(redis.call('HGET', KEYS[number], 'charged') or '0')
  end
  return reply
end

-- ARGV from 4: mark of each budget from before the ledger was asked, and what the ledger says. Several replicas
-- may do this at once: a correction moves no mark.
local function correct()
  for number = 1, #KEYS - 1 do
    local key, mark, settled = KEYS[number + 1], tonumber(ARGV[2 + 2 * number]), tonumber(ARGV[3 + 2 * number])
    local known = redis.call('HGET', key, 'charged')
    local since = tonumber(known or '0') - mark
    redis.call('HSET', key, 'spent', text(settled + math.max(0, since)))
    redis.call('PEXPIRE', key, DAYS)
    redis.call('PEXPIRE', key .. ':until', DAYS)
  end
  return {1}
end

-- ARGV from 4: limit and level of each bucket that another table filled meanwhile.
local function pour()
  for number = 1, #KEYS - 1 do
    local key, limit, level = KEYS[number + 1], tonumber(ARGV[2 + 2 * number]), tonumber(ARGV[3 + 2 * number])
    put(key, limit, math.min(limit * MINUTE, level_at(key, limit) + level))
  end
  return {1}
end

-- Begins an epoch, or joins the one there is: its name, and its age in ticks. Needs none itself.
if operation == 'join' then
  redis.call('SET', KEYS[1], ARGV[2] .. ':' .. text(now), 'NX')
  local epoch = redis.call('GET', KEYS[1])
  return {epoch, now - tonumber(string.match(epoch, '%d+$'))}
end

if redis.call('GET', KEYS[1]) ~= ARGV[2] then return {-2} end
return ({admit = admit, settle = settle, renew = renew, marks = marks, correct = correct, pour = pour})[operation]()
