-- KEYS: the task. ARGV: who ends it, how, and with what. 0: it was not his to end.
local task = redis.call('HMGET', KEYS[1], 'status', 'owner')
if not task[1] then return 0 end
if task[1] ~= 'working' or task[2] ~= ARGV[1] then
    redis.call('HINCRBY', KEYS[1], 'refused', 1)
    return 0
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'status', ARGV[2], 'payload', ARGV[3],
    'updated', time[1] * 1000 + math.floor(time[2] / 1000))
return 1
