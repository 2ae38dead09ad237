-- One note, kept for a while and told to everybody, unless a newer one of its name is known.
-- KEYS: notes by name, names by the microsecond they lapse. ARGV: channel, sender, name, note, seconds, most.
-- A note begins with its stamp, sixteen digits. Commands are those of Redis 6.2.
local notes, lapses = KEYS[1], KEYS[2]
local channel, sender, name, note, seconds, most = unpack(ARGV)

local before = redis.call('HGET', notes, name)
if before and string.sub(before, 1, 16) > string.sub(note, 1, 16) then
    return 0
end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('HSET', notes, name, note)
redis.call('ZADD', lapses, string.format('%.0f', now + seconds * 1000000), name)

local old = redis.call('ZRANGEBYSCORE', lapses, '-inf', string.format('%.0f', now), 'LIMIT', 0, 100)
local over = redis.call('ZCARD', lapses) - #old - most
if over > 0 then
    for _, one in ipairs(redis.call('ZRANGE', lapses, #old, #old + math.min(over, 100) - 1)) do
        old[#old + 1] = one
    end
end
if #old > 0 then
    redis.call('ZREM', lapses, unpack(old))
    redis.call('HDEL', notes, unpack(old))
end

for _, key in ipairs({notes, lapses}) do
    if redis.call('TTL', key) < tonumber(seconds) then
        redis.call('EXPIRE', key, seconds)
    end
end
redis.call('PUBLISH', channel, sender .. note)
return 1
